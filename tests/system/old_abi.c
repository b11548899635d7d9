// SPDX-License-Identifier: Apache-2.0
// old_abi.c: a plugin of another ABI, which must be refused.
#include "dtf.h"

const struct dtf_plugin dtf_plugin_v1 = {.abi = DTF_PLUGIN_ABI + 1};
