// SPDX-License-Identifier: Apache-2.0
// beneath.h: opens what lies beneath a directory, never anything outside it. Any thread.
#ifndef FILES_BENEATH_H
#define FILES_BENEATH_H

// Opens the directory at the top of a tree; a symbolic link to it is followed. -1 and errno if it cannot be
// opened.
int beneath_open_root(const char *path);

// Opens `path`, relative to the root ("": the root itself), without following any symbolic link on the way;
// close-on-exec. -1 and errno: ELOOP where there is a link. A path may end in a slash. On kernels before 5.6
// only the path's last part is checked.
int beneath_open(int root, const char *path, int flags);

#endif
