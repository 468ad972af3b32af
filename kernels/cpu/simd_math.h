#pragma once

// Polynomials for one vector type V (Avx2 or Avx512, which have internal linkage, hence these too),
// and the loop over a range of values. Coefficients: minimax (Remez) in float32, fitted for this
// file; the errors named are those of the polynomial, before rounding.

#include <cstdint>

namespace knlp::kernels {
namespace {

/// body(i, part) for whole vectors from first on, and once for the rest before last, if any.
template <class V, class Body>
[[gnu::always_inline]] inline void each_vector(int64_t first, int64_t last, Body body) {
    int64_t i = first;
    for (; i + V::kLanes <= last; i += V::kLanes) body(i, typename V::All{});
    if (i < last) body(i, V::head(last - i));
}

/// 2^(high + low), high from -252 to 252, |low| small. 1.9e-9.
template <class V>
[[gnu::always_inline]] inline typename V::F exp2_sum(typename V::F high, typename V::F low) {
    const typename V::F n = V::round(high);
    const typename V::F f = V::add(V::sub(high, n), low);
    typename V::F p = V::set1(0.000153458153f);
    p = V::fma(p, f, V::set1(0.00133999309f));
    p = V::fma(p, f, V::set1(0.00961848907f));
    p = V::fma(p, f, V::set1(0.0555032864f));
    p = V::fma(p, f, V::set1(0.240226462f));
    p = V::fma(p, f, V::set1(0.693147182f));
    p = V::fma(p, f, V::set1(1.0f));
    return V::scale(p, n);
}

/// e^x for x <= 170; 0 from -175 downwards, -inf included. NaN stays NaN.
template <class V>
[[gnu::always_inline]] inline typename V::F exp(typename V::F x) {
    const typename V::F log2e = V::set1(1.44269502f);
    const typename V::F bounded = V::max(V::set1(-174.0f), x);
    const typename V::F high = V::mul(bounded, log2e);
    return exp2_sum<V>(high,
                       V::fma(bounded, V::set1(1.92596303e-08f), V::fms(bounded, log2e, high)));
}

/// gelu(x) = x / (1 + 2^z), z = x (a + b x^2). z is computed to twice the precision: its absolute
/// error is the relative error of the result where x is far below 0.
template <class V>
[[gnu::always_inline]] inline typename V::F gelu_tanh(typename V::F x) {
    using F = typename V::F;
    const F a = V::set1(-2.30220819f), a_rest = V::set1(-1.29484024e-08f);
    const F b = V::set1(-0.102943242f), b_rest = V::set1(2.01619854e-09f);
    const F c = V::max(V::set1(-12.0f), V::min(V::set1(12.0f), x));  // beyond: x or 0, exactly
    const F s = V::mul(c, c), s_rest = V::fms(c, c, s);
    const F p = V::mul(b, s);
    F rest = V::fma(b, s_rest, V::fma(b_rest, s, a_rest));
    rest = V::add(rest, V::fms(b, s, p));
    const F t = V::add(a, p);
    rest = V::add(rest, V::sub(p, V::sub(t, a)));
    const F z = V::mul(t, c);
    const F z_rest = V::fma(rest, c, V::fms(t, c, z));
    return V::div(x, V::add(V::set1(1.0f), exp2_sum<V>(z, z_rest)));
}

/// gelu(x) and gelu'(x) from one power.
template <class V>
struct GeluAndSlope {
    typename V::F value, slope;
};

/// gelu'(x) = s + x s (1 - s) w, s = 1 / (1 + 2^z), w = d(-z ln 2)/dx; gelu(x) = x s. z is rounded
/// once here, so that the value's relative error grows with -x.
template <class V>
[[gnu::always_inline]] inline GeluAndSlope<V> gelu_tanh_and_slope(typename V::F x) {
    using F = typename V::F;
    const F one = V::set1(1.0f);
    // From 7.2 on 2^z would leave the range in which e s, standing for 1 - s, is exact.
    const F c = V::max(V::set1(-9.0f), V::min(V::set1(9.0f), x));
    const F square = V::mul(c, c);
    const F z = V::mul(c, V::fma(V::set1(-0.102943242f), square, V::set1(-2.30220819f)));
    const F e = exp2_sum<V>(z, V::zero());
    const F s = V::div(one, V::add(one, e));
    const F w = V::fma(V::set1(0.214064449f), square, V::set1(1.59576917f));
    return {.value = V::mul(V::max(x, c), s),  // s is not 0 where x is far below
            .slope = V::fma(V::mul(c, V::mul(e, s)), V::mul(s, w), s)};
}

/// Of the normal distribution: Phi(-|x|) = density e^(-x^2/2) / sqrt(2 pi) times a ratio that is a
/// polynomial of (|x| - 4) / (|x| + 4) to 1.4e-9 (after Shepherd and Laframboise, 1981).
template <class V>
struct NormalTail {
    typename V::F tail;     // Phi(-|x|)
    typename V::F density;  // e^(-x^2/2)
};
template <class V>
[[gnu::always_inline]] inline NormalTail<V> normal_tail(typename V::F x) {
    using F = typename V::F;
    const F minus_half_log2e = V::set1(-0.721347511f);
    const F a = V::min(V::set1(16.0f), V::abs(x));  // beyond: 0, exactly
    const F s = V::mul(a, a), s_rest = V::fms(a, a, s);
    const F z = V::mul(s, minus_half_log2e);
    F rest = V::fma(s_rest, minus_half_log2e, V::fms(s, minus_half_log2e, z));
    rest = V::fma(s, V::set1(-9.62981517e-09f), rest);
    const F density = exp2_sum<V>(V::max(V::set1(-250.0f), z), rest);
    const F four = V::set1(4.0f);
    const F t = V::div(V::sub(a, four), V::add(a, four));
    F p = V::set1(-7.6727767e-05f);
    p = V::fma(p, t, V::set1(-0.000191720901f));
    p = V::fma(p, t, V::set1(0.000648792193f));
    p = V::fma(p, t, V::set1(0.000511318736f));
    p = V::fma(p, t, V::set1(-0.00849316828f));
    p = V::fma(p, t, V::set1(0.0308643039f));
    p = V::fma(p, t, V::set1(-0.071707353f));
    p = V::fma(p, t, V::set1(0.124379277f));
    p = V::fma(p, t, V::set1(-0.170397729f));
    p = V::fma(p, t, V::set1(0.094410643f));
    return {V::mul(p, density), density};
}

/// gelu(x) = x Phi(x) = max(x, 0) - |x| Phi(-|x|); gelu'(x) = Phi(x) + x phi(x).
template <class V>
[[gnu::always_inline]] inline GeluAndSlope<V> gelu_erf_and_slope(typename V::F x) {
    const NormalTail<V> normal = normal_tail<V>(x);
    const typename V::F below =
        V::select_positive(x, V::sub(V::set1(1.0f), normal.tail), normal.tail);
    return {.value = V::fnma(V::abs(x), normal.tail, V::max(V::zero(), x)),
            .slope = V::fma(V::mul(x, V::set1(0.398942292f)), normal.density, below)};
}

}  // namespace
}  // namespace knlp::kernels
