/* A JPEG file in memory, and its Exif part. */
#include "fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned orientation = l4_jpeg_orientation(data, size);
    HOLDS(orientation >= 1 && orientation <= 8);
    decode(l4_jpeg_decode, data, size);
    return 0;
}
