/* What llama4.h needs of this header, so that it is read the same on every system, with or without a compiler. */
#ifndef LLAMA4_GENERATOR_STDDEF_H
#define LLAMA4_GENERATOR_STDDEF_H
typedef __SIZE_TYPE__ size_t;
#endif
