/* The table of tensor types. */
#include "format/types.h"

/* Sizes are those of the files; GGUF's numbers have holes where formats were withdrawn. */
static const l4_type_info types[] = {
    {0, "F32", 1, 4},          {1, "F16", 1, 2},          {2, "Q4_0", 32, 18},       {3, "Q4_1", 32, 20},       {6, "Q5_0", 32, 22},
    {7, "Q5_1", 32, 24},       {8, "Q8_0", 32, 34},       {9, "Q8_1", 32, 40},       {10, "Q2_K", 256, 84},     {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144},    {13, "Q5_K", 256, 176},    {14, "Q6_K", 256, 210},    {15, "Q8_K", 256, 292},    {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},   {18, "IQ3_XXS", 256, 98},  {19, "IQ1_S", 256, 50},    {20, "IQ4_NL", 32, 18},    {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},    {23, "IQ4_XS", 256, 136},  {24, "I8", 1, 1},          {25, "I16", 1, 2},         {26, "I32", 1, 4},
    {27, "I64", 1, 8},         {28, "F64", 1, 8},         {29, "IQ1_M", 256, 56},    {30, "BF16", 1, 2},        {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},    {39, "MXFP4", 32, 17},     {40, "NVFP4", 64, 36},     {41, "Q1_0", 128, 18},

    {1000, "F8_E4M3", 1, 1},   {1001, "F8_E5M2", 1, 1},   {1002, "F8_E8M0", 1, 1},   {1003, "BOOL", 1, 1},      {1004, "U8", 1, 1},
    {1005, "U16", 1, 2},       {1006, "U32", 1, 4},       {1007, "U64", 1, 8},       {1008, "C64", 1, 8},       {1009, "F4", 2, 1},
    {1010, "F6_E2M3", 4, 3},   {1011, "F6_E3M2", 4, 3},
};

#define N_TYPES (sizeof types / sizeof *types)

const l4_type_info *l4_type_find(uint32_t type)
{
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].type == type)
            return &types[i];
    return NULL;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

const l4_type_info *l4_type_by_name(const char *name)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        const char *a = name, *b = types[i].name;
        while (*a && upper(*a) == *b)
            a++, b++;
        if (!*a && !*b)
            return &types[i];
    }
    return NULL;
}

uint64_t l4_type_row_bytes(const l4_type_info *info, uint64_t n)
{
    uint64_t blocks = n / info->block;
    if (n % info->block || blocks > UINT64_MAX / info->block_bytes)
        return 0;
    return blocks * info->block_bytes;
}
