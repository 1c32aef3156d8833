# Compiles for aarch64 elsewhere, with Debian's g++-aarch64-linux-gnu; the tests run in qemu-user.
#
#   cmake -S cpp_ext -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=aarch64.cmake

set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
