// SPDX-License-Identifier: Apache-2.0
// exits.c: _exit and _Exit of this program, which exports them: a callback of a plugin that calls one of them
// comes here, and no handler would run.
#include "crash.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

_Noreturn void _exit(int status)
{
    crash_exits();
    for (;;)
        (void)syscall(SYS_exit_group, status);
}

_Noreturn void _Exit(int status)
{
    _exit(status);
}
