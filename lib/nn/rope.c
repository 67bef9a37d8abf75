#include "nn/rope.h"

#include <math.h>

#include "base/math.h"

void l4_rope_angles(uint64_t position, const float *freq, size_t half, float *cosine, float *sine)
{
    for (size_t j = 0; j < half; j++) {
        float angle = (float)position * freq[j];
        double s, c;
        l4_sincos(angle, &s, &c);
        cosine[j] = (float)c;
        sine[j] = (float)s;
    }
}

void l4_rope_rotate(float *v, size_t heads, size_t half, const float *cosine, const float *sine)
{
    for (size_t h = 0; h < heads; h++, v += 2 * half)
        for (size_t j = 0; j < half; j++) {
            float a = v[2 * j], b = v[2 * j + 1];
            v[2 * j] = a * cosine[j] - b * sine[j];
            v[2 * j + 1] = a * sine[j] + b * cosine[j];
        }
}

float l4_attention_temperature(uint64_t position, float scale, uint32_t length)
{
    /* In float32, as the reference has it; exact for positions below 2^24. */
    float steps = floorf(((float)position + 1.0f) / (float)length);
    return 1.0f + scale * (float)l4_ln((double)steps + 1.0);
}
