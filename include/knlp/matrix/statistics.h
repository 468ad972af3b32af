#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace knlp::matrix {

/// Statistics of paired differences d_s = m_arm,s - m_baseline,s over n seeds s. All values must
/// be finite. A figure that n or the spread does not allow is NaN: nothing is made up.

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

struct Interval {
    double low = kUnknown, high = kUnknown;
    bool known() const { return low <= high; }
};

/// d̄ ± t_{(1 + confidence) / 2, n - 1} s_d / sqrt(n). Student 1908. Unknown for n < 2.
Interval mean_interval(std::span<const double> d, double confidence);

/// Two-sided p of "the mean difference is zero": P(|T_{n-1}| >= |d̄| sqrt(n) / s_d). NaN for n < 2,
/// and where all differences are one number other than zero, whose t is no number; 1 where all are
/// zero.
double paired_p(std::span<const double> d);

/// Holm-adjusted p values (Holm 1979, Scand. J. Statist. 6:65): with p_(1) <= … <= p_(m) the i-th
/// is max over j <= i of min(1, (m - j + 1) p_(j)). Rejecting those below alpha keeps the chance of
/// any false one below alpha. NaN is no member of the family and stays NaN.
std::vector<double> holm(std::span<const double> p);

/// The interval lies inside (-bound, bound). Of a 90 % interval that is equivalence by two
/// one-sided tests at 5 % (Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657). False where either
/// is unknown, and for bound = 0.
bool lies_within(const Interval& interval, double bound);

struct SignCount {
    int64_t positive = 0, negative = 0, zero = 0;
    /// All differences point one way; a zero points none.
    bool agree() const { return zero == 0 && (positive == 0) != (negative == 0); }
};
SignCount count_signs(std::span<const double> d);

/// The sign-flip permutation test (Fisher 1935, The Design of Experiments, section 21): without an
/// effect each d_s is as likely as -d_s, so p is the share of the 2^n choices of signs whose |sum|
/// is at least the one seen.
struct SignFlip {
    double p = kUnknown;           // NaN for n = 0
    double smallest_p = kUnknown;  // what these |d_s| could reach at best: 2 / 2^n without zeros
    bool exact = true;             // all choices were counted, up to n = kExactFlips
};
constexpr int64_t kExactFlips = 16;
/// Above kExactFlips from 100 000 drawn choices, p = (1 + hits) / (1 + draws) (Phipson and Smyth
/// 2010, Stat. Appl. Genet. Mol. Biol. 9:39). Equal input gives equal bits.
SignFlip sign_flip(std::span<const double> d);

/// Noise floor between seeds: the sample standard deviation of the baseline's metric. NaN for n
/// < 2.
double seed_noise(std::span<const double> baseline);

/// Noise floor between two runs that differ in nothing but chance, as a cell that was run again:
/// the standard deviation of one run, sqrt(sum e² / 2k) from the differences e of k such pairs
/// (Dahlberg 1940; Bland and Altman 1996, BMJ 313:744). NaN for k = 0.
double repeat_noise(std::span<const double> e);

/// Noise of the evaluation text alone: what the mean difference would do on other documents, with
/// the trained models as they are. It says nothing about other seeds.
struct EvaluationNoise {
    Interval interval;  // percentile interval
    double sd = kUnknown;
    int64_t blocks = 0;  // documents; with fewer than 2 nothing is known
};
constexpr int64_t kResamples = 10000;
/// Paired block bootstrap: d[w] is the difference of the two losses on evaluation window w,
/// document[w] the document that window is from. Documents are drawn with replacement, with all
/// their windows, kResamples times; each time the mean over the drawn windows is taken (Efron 1979,
/// Ann. Statist. 7:1; Davison and Hinkley 1997, section 3.8). An empty `document` makes each window
/// a block of its own, which is too narrow where windows share a document. Fixed seed: equal input
/// gives equal bits.
EvaluationNoise evaluation_noise(std::span<const double> d, std::span<const int64_t> document,
                                 double confidence);

}  // namespace knlp::matrix
