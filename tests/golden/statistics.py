#!/usr/bin/python3
"""Writes tests/golden/statistics.json: statistics of fabricated results by Debian's scipy and statsmodels.

Student's t and chi-squared by scipy.special, the noncentral t by integrating its definition with scipy.integrate
(scipy's own takes Boost.Math, as knlp does), paired tests by scipy.stats.ttest_rel, sign flips by
scipy.stats.permutation_test, equivalence by statsmodels' ttost_mean, Holm by statsmodels' multipletests, power by
statsmodels' TTestPower, bootstraps by scipy.stats.bootstrap and, with documents of unequal length, by numpy. Nothing of
knlp is used. Usage: tests/golden/statistics.py > tests/golden/statistics.json
"""
import json
import random
import warnings

import numpy
import scipy
import statsmodels
from scipy import integrate, optimize, special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

warnings.filterwarnings("ignore", message="divide by zero")
draw = random.Random(20240517)


def noncentral_t(t, df, delta):
    """P(T <= t) = integral over u = sqrt(chi2 / df) of Phi(t u - delta) times the density of u."""
    log_scale = numpy.log(2) + df / 2 * numpy.log(df / 2) - special.gammaln(df / 2)

    def integrand(u):
        return special.ndtr(t * u - delta) * numpy.exp(log_scale + (df - 1) * numpy.log(u) - df * u * u / 2)

    spread = 12 / numpy.sqrt(2 * df)
    low, high = max(0.0, 1 - spread), 1 + spread
    value, error = integrate.quad(integrand, low or 1e-300, high, epsabs=1e-14, epsrel=1e-13, limit=500)
    assert error < 1e-10, (t, df, delta, error)
    return value


def t_quantile(p, df):
    """scipy.special's is good to 1e-9 only; its distribution function is better, so that is solved."""
    near = special.stdtrit(df, p)
    around = 1e-6 * max(1.0, abs(near))
    return optimize.brentq(lambda t: special.stdtr(df, t) - p, near - around, near + around, xtol=1e-15, rtol=1e-15)


def interval(test, d, confidence):
    """ttest_rel's interval of the mean of d, with the better quantile."""
    rough, center = test.confidence_interval(confidence), numpy.mean(d)
    half = t_quantile((1 + confidence) / 2, len(d) - 1) * stats.sem(d)
    assert abs(rough.low - center + half) + abs(rough.high - center - half) < 1e-7 * max(1, half)
    return {"confidence": confidence, "low": center - half, "high": center + half}


def differences(n, shift, spread):
    return [round(draw.gauss(shift, spread), 6) for _ in range(n)]


def paired(d, bound):
    test = stats.ttest_rel(d, [0.0] * len(d))
    flips = stats.permutation_test((numpy.array(d),), numpy.sum, permutation_type="samples", n_resamples=numpy.inf)
    return {"d": d, "t": test.statistic, "p": test.pvalue, "bound": bound,
            "intervals": [interval(test, d, c) for c in (0.5, 0.9, 0.95, 0.99)],
            "sign_flip_p": flips.pvalue, "tost_p": DescrStatsW(d).ttost_mean(-bound, bound)[0]}


def experiment(arms, seeds):
    """Metrics of each arm and what an analysis at 5 % says; the first arm is the baseline."""
    noise = [draw.gauss(0, 0.02) for _ in range(seeds)]
    metrics = [[round(3.2 + shift + noise[s] + draw.gauss(0, spread), 6) for s in range(seeds)]
               for shift, spread in arms]
    contrasts = []
    for values in metrics[1:]:
        test = stats.ttest_rel(values, metrics[0])
        d = numpy.subtract(values, metrics[0])
        contrasts.append({"mean": numpy.mean(d), "p": test.pvalue,
                          "intervals": [interval(test, d, c) for c in (0.9, 0.95)]})
    adjusted = multipletests([c["p"] for c in contrasts], method="holm")[1]
    for contrast, p in zip(contrasts, adjusted):
        contrast["adjusted_p"] = float(p)
    return {"metrics": metrics, "contrasts": contrasts,
            "baseline_sd": float(numpy.std(metrics[0], ddof=1))}


def bootstrap_of_means(n):
    d = differences(n, 0.01, 0.2)
    found = stats.bootstrap((d,), numpy.mean, n_resamples=20000, method="percentile", confidence_level=0.95,
                            random_state=1)
    low, high = found.confidence_interval
    return {"d": d, "document": [], "sd": found.standard_error, "low": low, "high": high}


def bootstrap_of_documents(sizes):
    d, document = [], []
    for number, size in enumerate(sizes):
        shift = draw.gauss(0.0, 0.2)
        d += differences(size, shift, 0.05)
        document += [7 * number + 3] * size
    generator = numpy.random.default_rng(2)
    sums = numpy.array([sum(x for x, k in zip(d, document) if k == 7 * i + 3) for i in range(len(sizes))])
    picks = generator.integers(0, len(sizes), size=(20000, len(sizes)))
    means = sums[picks].sum(axis=1) / numpy.array(sizes)[picks].sum(axis=1)
    low, high = numpy.percentile(means, [2.5, 97.5])
    return {"d": d, "document": document, "sd": float(numpy.std(means, ddof=1)), "low": low, "high": high}


def main():
    degrees = [1, 2, 3, 4, 9, 29, 199, 5000]
    rows = {
        "source": f"tests/golden/statistics.py, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}",
        "t": [{"t": t, "df": df, "cdf": special.stdtr(df, t), "two_sided": 2 * special.stdtr(df, -abs(t))}
              for df in degrees for t in (-40.0, -3.3, -1.0, -0.01, 0.0, 0.4, 2.776, 12.706)],
        "t_quantile": [{"p": p, "df": df, "t": t_quantile(p, df)}
                       for df in degrees for p in (0.005, 0.2, 0.5, 0.95, 0.975, 0.9995)],
        "chi_squared_quantile": [{"p": p, "df": df, "x": special.chdtri(df, 1 - p)}
                                 for df in degrees for p in (0.05, 0.2, 0.5, 0.9)],
        "noncentral_t": [{"t": t, "df": df, "delta": delta, "cdf": noncentral_t(t, df, delta)}
                         for df in (1, 2, 4, 9, 99) for delta in (0.1, 1.0, 3.5, 12.0)
                         for t in (-2.0, 0.0, 1.7, 2.776, 12.706)],
        "paired": [paired(differences(n, shift, 0.02), 0.03) for n in (2, 3, 4, 5, 7, 10, 12)
                   for shift in (0.0, -0.015, 0.04)],
        "holm": [{"p": p, "adjusted": [float(x) for x in multipletests(p, method="holm")[1]]}
                 for p in ([0.01], [0.04, 0.03, 0.2], [0.01, 0.01, 0.01, 0.5, 0.9], [1.0, 0.0, 0.02],
                           [round(draw.random() ** 3, 6) for _ in range(17)])],
        "power": [{"n": n, "effect": effect, "alpha": alpha, "power": float(TTestPower().power(effect, n, alpha))}
                  for n in (6, 8, 12, 30, 200) for effect in (0.1, 0.5, 1.2) for alpha in (0.05, 0.0125)],
        "seeds": [{"effect": effect, "alpha": alpha, "power": power,
                   "n": float(TTestPower().solve_power(effect, None, alpha, power))}
                  for effect in (0.05, 0.3, 1.1) for alpha in (0.05, 0.01) for power in (0.8, 0.9)],
        "experiments": [experiment([(0, 0.004), (-0.02, 0.004), (0.001, 0.004), (0.03, 0.004)], 5),
                        experiment([(0, 0.01), (-0.01, 0.01), (0.0, 0.01)], 9),
                        experiment([(0, 0.001), (0.0001, 0.001)], 3)],
        "bootstraps": [bootstrap_of_means(40), bootstrap_of_means(300),
                       bootstrap_of_documents([draw.randint(1, 12) for _ in range(30)])],
    }
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
