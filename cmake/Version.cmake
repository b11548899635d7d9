# SPDX-License-Identifier: Apache-2.0
# Version.cmake: run at every build with -D OUT=<file.c> VERSION=<number> SOURCE=<tree>: writes lib/base/version.h's two
# texts, and touches the file only if they are others.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR NOT commit)
  set(commit unknown)
endif()
set(text "#include \"base/version.h\"\n\nconst char version_number[] = \"${VERSION}\";\nconst char version_commit[] = \"${commit}\";\n")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${OUT} "${text}")
endif()
