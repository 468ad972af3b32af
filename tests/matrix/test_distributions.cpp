#include "knlp/matrix/distributions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace knlp::matrix {
namespace {

// Closed forms of the t distribution function for 1, 2 and 4 degrees of freedom: Abramowitz and
// Stegun, 26.7.3 and 26.7.4. Both sides round in the last bits.
TEST(StudentT, MatchesClosedForms) {
    for (const double t : {-80.0, -3.0, -0.5, 0.0, 0.1, 1.0, 2.5, 12.706}) {
        EXPECT_NEAR(student_t_cdf(t, 1), 0.5 + std::atan(t) / std::numbers::pi, 1e-14) << t;
        EXPECT_NEAR(student_t_cdf(t, 2), 0.5 + t / (2 * std::sqrt(2 + t * t)), 1e-14) << t;
        const double c = t * t / (4 + t * t), s = std::sqrt(c) * (t < 0 ? -1 : 1);
        EXPECT_NEAR(student_t_cdf(t, 4), 0.5 + s * (3 - c) / 4, 1e-14) << t;
    }
}

// NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2, three decimals.
TEST(StudentT, QuantilesMatchPublishedTables) {
    struct Row {
        double df, p, t;
    };
    for (const Row& row :
         {Row{1, 0.975, 12.706}, Row{2, 0.975, 4.303}, Row{3, 0.95, 2.353}, Row{4, 0.975, 2.776},
          Row{9, 0.975, 2.262}, Row{9, 0.95, 1.833}, Row{30, 0.995, 2.750}, Row{100, 0.999, 3.174}})
        EXPECT_NEAR(student_t_quantile(row.p, row.df), row.t, 0.0005 + 1e-9) << row.df;
}

// Closed forms again: df 1 is tan, df 2 is (2 p - 1) sqrt(2 / (4 p (1 - p))).
TEST(StudentT, QuantilesMatchClosedForms) {
    for (const double p : {0.001, 0.1, 0.3, 0.8, 0.975, 0.9999}) {
        const double one = std::tan(std::numbers::pi * (p - 0.5));
        const double two = (2 * p - 1) * std::sqrt(2 / (4 * p * (1 - p)));
        EXPECT_NEAR(student_t_quantile(p, 1), one, 1e-10 * std::abs(one)) << p;
        EXPECT_NEAR(student_t_quantile(p, 2), two, 1e-10 * std::abs(two)) << p;
    }
}

TEST(StudentT, SmallTailsKeepTheirDigits) {
    // For df = 2 the tail is 1/2 (1 - t / sqrt(2 + t²)) = 1 / (2 t²) (1 - 3 / (2 t²) + …).
    EXPECT_NEAR(student_t_two_sided(1e6, 2) * 1e12, 1.0, 1e-11);
    EXPECT_DOUBLE_EQ(student_t_two_sided(-3.0, 5), student_t_two_sided(3.0, 5));
    EXPECT_DOUBLE_EQ(student_t_two_sided(0, 5), 1.0);
}

TEST(NoncentralT, WithoutAnEffectItIsStudents) {
    for (const double t : {-3.0, 0.0, 0.7, 4.0})
        EXPECT_NEAR(noncentral_t_cdf(t, 6, 0), student_t_cdf(t, 6), 1e-13) << t;
}

// P(T < 0) = P(Z + delta < 0), whatever the degrees of freedom.
TEST(NoncentralT, IsNegativeAsOftenAsTheNormalAboveTheLine) {
    for (const double delta : {0.3, 1.0, 2.5, 4.0})
        EXPECT_NEAR(noncentral_t_cdf(0, 4, delta), 0.5 * std::erfc(delta / std::sqrt(2.0)), 1e-13);
}

// For 2 degrees of freedom P(X <= x) = 1 - exp(-x / 2).
TEST(ChiSquared, QuantilesMatchAClosedForm) {
    for (const double p : {0.01, 0.2, 0.5, 0.95})
        EXPECT_NEAR(chi_squared_quantile(p, 2), -2 * std::log1p(-p), 1e-12) << p;
}

TEST(DistributionsDeathTest, WrongArgumentsAreOurMistake) {
    EXPECT_DEATH(student_t_quantile(1, 3), "p < 1");
    EXPECT_DEATH(student_t_cdf(NAN, 3), "isfinite");
}

}  // namespace
}  // namespace knlp::matrix
