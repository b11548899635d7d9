// SPDX-License-Identifier: Apache-2.0
// no_plugin.c: a shared object that is no plugin.
extern int no_plugin_at_all;
int no_plugin_at_all = 1;
