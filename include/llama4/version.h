/* Version of the llama4 API. meson.build reads these three numbers; the soname follows LLAMA4_VERSION_MAJOR. */
#ifndef LLAMA4_VERSION_H
#define LLAMA4_VERSION_H

#define LLAMA4_VERSION_MAJOR 1
#define LLAMA4_VERSION_MINOR 1
#define LLAMA4_VERSION_PATCH 0

#endif
