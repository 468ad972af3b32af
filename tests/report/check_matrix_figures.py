#!/usr/bin/python3
"""Computes the verdict figures of a matrix from its results.csv by scipy and statsmodels, and compares them with
its summary.json. Usage: check_matrix_figures.py DIRECTORY; prints what differs and ends with 1, or "equal"."""
import csv
import json
import math
import sys

import numpy
from scipy import stats
from statsmodels.stats.multitest import multipletests


def same(a, b, tolerance=1e-9):
    return b is not None and math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12)


def main(directory):
    summary = json.load(open(directory + "/summary.json"))
    metric = {}
    for row in csv.DictReader(open(directory + "/results.csv", newline="")):
        if row["state"] == "done":
            metric[row["arm"], row["seed"]] = float(row["metric"])
    wrong, p_values, adjusted = [], [], []

    def check(arm, name, expected, found, tolerance=1e-9):
        if not same(expected, found, tolerance):
            wrong.append(f"{arm}: {name} is {found}, expected {expected}")

    for arm in summary["arms"]:
        name = arm["id"]
        values = [v for (a, _), v in metric.items() if a == name]
        check(name, "mean", float(numpy.mean(values)), arm["mean"])
        check(name, "sd", float(numpy.std(values, ddof=1)), arm["sd"])
        if arm["baseline"]:
            continue
        seeds = sorted((s for (a, s) in metric if a == name and (summary["baseline"], s) in metric), key=int)
        ours = arm["contrast"]
        test = stats.ttest_rel([metric[name, s] for s in seeds], [metric[summary["baseline"], s] for s in seeds])
        d = [metric[name, s] - metric[summary["baseline"], s] for s in seeds]
        check(name, "n", len(d), len(ours["differences"]))
        check(name, "mean difference", float(numpy.mean(d)), ours["mean"])
        check(name, "p", float(test.pvalue), ours["p"])
        for confidence, interval in ((1 - summary["alpha"], ours["interval"]), (0.9, ours["interval90"])):
            expected = test.confidence_interval(confidence)
            # scipy's quantile of t is good to about 1e-9 of itself, ends near zero to less.
            check(name, "low end", float(expected.low), interval[0], 1e-7)
            check(name, "high end", float(expected.high), interval[1], 1e-7)
        flip = stats.permutation_test((d,), numpy.mean, permutation_type="samples", n_resamples=numpy.inf)
        check(name, "sign-flip p", float(flip.pvalue), ours["sign_flip"]["p"])
        check(name, "perplexity", 100 * math.expm1(numpy.mean(d)), ours["ratio_percent"])
        p_values.append(float(test.pvalue))
        adjusted.append((name, ours["adjusted_p"]))
        low, high = ours["interval90"]
        signs = len({x > 0 for x in d}) == 1
        shown = "?"
        if -summary["min_effect"] < low and high < summary["min_effect"]:
            shown = "equivalent"
        arm["expected"] = (signs, shown)
    corrected = multipletests(p_values, method="holm")[1]
    for (name, found), expected in zip(adjusted, corrected):
        check(name, "adjusted p", float(expected), found)
    for arm in summary["arms"]:
        if arm["baseline"]:
            continue
        ours, (signs, shown) = arm["contrast"], arm["expected"]
        verdict = "no difference shown" if shown == "?" else shown
        if ours["adjusted_p"] < summary["alpha"] and (signs or len(ours["differences"]) > 5):
            verdict = "better" if ours["mean"] < 0 else "worse"
        if verdict != ours["verdict"]:
            wrong.append(f"{arm['id']}: verdict {ours['verdict']}, expected {verdict}")
    print("\n".join(wrong) or "equal")
    return 1 if wrong else 0


sys.exit(main(sys.argv[1]))
