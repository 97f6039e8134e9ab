"""One fit of a Python package in a process of its own: python bench/peers.py request.json. The answer is written to the file that the request names.

Times are taken inside Python: starting it, importing the package, reading the data and putting them into the package's own kind of table are not
counted. Everything is float64, identifiers are integers, settings are the package's defaults unless `call` says otherwise."""

import gc
import json
import os
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np

warnings.simplefilter("ignore")


class CannotFit(Exception):
    """The package has no such model; the message says what is missing."""


def memory(field):
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return float(line.split()[1]) / 1024
    except OSError:
        pass
    return None


def forget_peak():
    try:
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5\n")
        return True
    except OSError:
        return False


def read_columns(folder, names, groups):
    with open(os.path.join(folder, "columns.json")) as file:
        meta = json.load(file)
    columns = {}
    for name in names:
        kind = meta["columns"][name]["kind"]
        column = np.fromfile(os.path.join(folder, name + ".bin"), "f8" if kind == "double" else "i4")
        if name in groups:
            column = column.astype("i8")
        elif kind == "factor":
            # two levels: the 0/1 column that treatment contrasts make of them
            column = (column - 1).astype("f8")
        else:
            column = column.astype("f8", copy=False)
        columns[name] = column
    return columns


def square(lower):
    """The symmetric matrix of a lower triangle by columns."""
    q = int((np.sqrt(8 * len(lower) + 1) - 1) / 2)
    out = np.zeros((q, q))
    k = 0
    for j in range(q):
        for i in range(j, q):
            out[i, j] = out[j, i] = lower[k]
            k += 1
    return out.tolist()


# Each function prepares a package and returns (run, estimates, call, method, note): run() is timed, estimates(fit) gives sigma^2 and the covariance
# matrix of every grouping factor.


def use_glmm(columns, formula, terms):
    import glmm

    def estimates(fit):
        covariance = {group[0]: square(list(lower)) for group, lower in zip(fit.re_groups, fit.varcorr)}
        return {"sigma2": float(fit.dispersion), "covariance": covariance}

    # without Satterthwaite's df, which the other programs do not compute when they fit
    run = lambda: glmm.fit(columns, formula, satterthwaite=False)
    return run, estimates, "glmm.fit(dict of arrays, formula, satterthwaite=False)", "REML", None


def one_factor(terms, name):
    if len(terms["random"]) > 1:
        raise CannotFit("one grouping factor only")
    return next(iter(terms["random"].items()))


def statsmodels_like(model_class, columns, terms, call, name):
    import pandas as pd

    group, slopes = one_factor(terms, name)
    data = pd.DataFrame(columns)
    fixed = "y ~ " + " + ".join(terms["fixed"])
    slopes = "~" + " + ".join(slopes) if slopes else None

    def estimates(fit):
        return {"sigma2": float(fit.scale), "covariance": {group: np.asarray(fit.cov_re).tolist()}}

    return lambda: model_class.from_formula(fixed, data, groups=group, re_formula=slopes).fit(reml=True), estimates, call, "REML", None


def use_mixedlm_rs(columns, formula, terms):
    from mixedlm_rs import MixedLM

    return statsmodels_like(MixedLM, columns, terms, "MixedLM.from_formula(fixed, pandas, groups, re_formula).fit(reml=True)", "mixedlm-rs")


def use_statsmodels(columns, formula, terms):
    from statsmodels.regression.mixed_linear_model import MixedLM

    return statsmodels_like(MixedLM, columns, terms, "MixedLM.from_formula(fixed, pandas, groups, re_formula).fit(reml=True)", "statsmodels")


def from_theta(theta, sigma2, sizes):
    """Covariance matrices from lme4's theta, blocks of the given sizes in its order."""
    covariance, k = {}, 0
    for group, q in sizes:
        factor = np.zeros((q, q))
        for j in range(q):
            for i in range(j, q):
                factor[i, j] = theta[k]
                k += 1
        covariance[group] = (sigma2 * factor @ factor.T).tolist()
    return covariance


def use_mixedlm(columns, formula, terms):
    import mixedlm
    import pandas as pd

    data = pd.DataFrame(columns)

    def estimates(fit):
        sigma2 = float(fit.sigma) ** 2
        # blocks in the order of the formula
        sizes = [(group, 1 + len(slopes)) for group, slopes in terms["random"].items()]
        return {"sigma2": sigma2, "covariance": from_theta(fit.theta, sigma2, sizes)}

    return lambda: mixedlm.lmer(formula, data), estimates, "mixedlm.lmer(formula, pandas)", "REML", None


def use_lme_python(columns, formula, terms):
    import lme_python
    import polars as pl

    data = pl.DataFrame(columns)

    def estimates(fit):
        names = {group: ["(Intercept)"] + list(slopes) for group, slopes in terms["random"].items()}
        covariance = {group: np.zeros((len(n), len(n))) for group, n in names.items()}
        for group, first, second, value, _ in fit.var_corr:
            if group in covariance:
                i, j = names[group].index(first), names[group].index(second)
                covariance[group][i, j] = covariance[group][j, i] = value
        return {"sigma2": float(fit.sigma2), "covariance": {group: v.tolist() for group, v in covariance.items()}}

    return lambda: lme_python.lmer(formula, data=data, reml=True), estimates, "lme_python.lmer(formula, polars, reml=True)", "REML", None


def use_gpboost(columns, formula, terms):
    import gpboost

    y = columns["y"]
    X = np.column_stack([np.ones(len(y))] + [columns[name] for name in terms["fixed"]])
    groups = list(terms["random"])
    ids = np.column_stack([columns[group] for group in groups])
    slopes = [(k, name) for k, group in enumerate(groups) for name in terms["random"][group]]
    extra = {}
    if slopes:
        extra["group_rand_coef_data"] = np.column_stack([columns[name] for _, name in slopes])
        extra["ind_effect_group_rand_coef"] = [k + 1 for k, _ in slopes]

    def run():
        model = gpboost.GPModel(likelihood="gaussian", group_data=ids, **extra)
        model.fit(y=y, X=X)
        return model

    def estimates(model):
        values = np.asarray(model.get_cov_pars()).ravel()
        covariance = {}
        for k, group in enumerate(groups):
            own = [values[1 + k]] + [values[1 + len(groups) + m] for m, (place, _) in enumerate(slopes) if place == k]
            covariance[group] = np.diag(own).tolist()
        return {"sigma2": float(values[0]), "covariance": covariance}

    note = "smaller model: slopes not correlated with intercepts" if slopes else None
    return run, estimates, "GPModel(group_data, group_rand_coef_data).fit(y, X); maximum likelihood only", "ML", note


TOOLS = {
    "glmm": use_glmm, "mixedlm-rs": use_mixedlm_rs, "mixedlm": use_mixedlm, "lme-python": use_lme_python, "gpboost": use_gpboost,
    "statsmodels": use_statsmodels,
}


def measure(run, request):
    """Seconds of a first call, whose memory is measured, and of warm calls: as many as fit into `seconds`; none after a slow first call."""
    gc.collect()
    before = memory("VmRSS")
    forgotten = forget_peak()
    busy, started = time.process_time(), time.perf_counter()
    fit = run()
    first = time.perf_counter() - started
    busy = time.process_time() - busy
    peak = memory("VmHWM")
    times = [first]
    if first < request["once_over"]:
        gc.collect()
        times = []
        busy, until = time.process_time(), time.perf_counter() + request["seconds"]
        while len(times) < request["runs"] and (not times or time.perf_counter() < until):
            started = time.perf_counter()
            fit = run()
            times.append(time.perf_counter() - started)
        busy = (time.process_time() - busy) / len(times)
    return fit, {"times": times, "first_s": first, "cpu_s": busy, "before_mb": before, "peak_mb": peak, "peak_forgotten": forgotten}


def work(request):
    terms = request["terms"]
    groups = list(terms["random"])
    names = ["y"] + terms["fixed"] + groups
    columns = read_columns(request["folder"], names, groups)
    run, estimates, call, method, note = TOOLS[request["tool"]](columns, request["formula"], terms)
    fit, answer = measure(run, request)
    answer.update(
        data_mb=sum(column.nbytes for column in columns.values()) / 2**20, version=version(request["tool"]), call=call, method=method, note=note,
        estimates=estimates(fit),
    )
    return answer


def main():
    with open(sys.argv[1]) as file:
        request = json.load(file)
    try:
        answer = work(request)
    except CannotFit as reason:
        answer = {"cannot": str(reason)}
    except KeyboardInterrupt:
        # the time is over: no answer
        sys.exit(1)
    except BaseException as error:  # also the panic of a compiled extension
        answer = {"error": f"{type(error).__name__}: {error}"}
    with open(request["answer"], "w") as file:
        json.dump(answer, file)


main()
