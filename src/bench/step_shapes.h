#pragma once

#include "knlp/bench/bench.h"
#include "knlp/model/product_trial.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace knlp::bench {

/// Starts the runtime with the request's threads; returns the shapes [m, n, k] of a micro-batch's
/// products, the head's last.
std::vector<std::array<int64_t, 3>> start_for_products(const StepRequest& request);

/// A product and how often it occurs in a step.
struct Product {
    model::LayerProduct kind = model::LayerProduct::kForward;
    int64_t m = 0, n = 0, k = 0, times = 1;

    std::string name() const;
};
/// Seconds of one, alone and by its fastest route: the least median of so many samples. Routes that
/// two rounds show to be clearly slower are not measured further: a large product takes seconds.
double fastest_seconds(const Product& product, bool bf16, int64_t samples);

/// Seconds of all products of a step one after the other, each alone and by its fastest route, in
/// the request's precision. The request is complete (batch, accumulation, threads).
double fastest_products_s(const StepRequest& request);

}  // namespace knlp::bench
