/* Elementary functions that give the same bits on every machine: only IEEE 754 additions, products, divisions and shifts of the bits. */
#ifndef L4_BASE_MATH_H
#define L4_BASE_MATH_H

double l4_exp(double x);  /* relative error below 1e-15; 0 below -745, infinity above 709.78, NaN for NaN */
double l4_ln(double x);  /* relative error below 1e-15 for normal x > 0; -infinity for 0, NaN for negatives and NaN */
double l4_pow(double x, double y); /* x > 0: exp(y log x); relative error below 1e-13 for results near 1e+-10 */
void l4_sincos(double x, double *sine, double *cosine); /* absolute error below 1e-15 for |x| < 1.6e7 */

#endif
