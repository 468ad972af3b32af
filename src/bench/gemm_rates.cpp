#include "knlp/bench/gemm_rates.h"

#include "step_shapes.h"
#include "tokens.h"

#include "knlp/core/host.h"
#include "knlp/core/signals.h"
#include "knlp/model/product_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace knlp::bench {
namespace {

using model::LayerProduct;
using model::ProductTrial;

constexpr double kMostSeconds = 1.5;  // of one product by one route
constexpr double kClearlySlower = 1.2;

std::vector<Product> products_of(const StepRequest& request,
                                 const std::vector<std::array<int64_t, 3>>& shapes) {
    const int64_t rows = request.batch * request.model.n_ctx;
    std::vector<Product> products;
    for (size_t i = 0; i < shapes.size(); ++i) {
        const auto [m, n, k] = shapes[i];
        // The last is the head's, in chunks of m rows.
        const bool head = i + 1 == shapes.size();
        const int64_t times = head ? (rows + m - 1) / m : request.model.n_layer;
        for (const LayerProduct kind :
             {LayerProduct::kForward, LayerProduct::kInput, LayerProduct::kWeight})
            products.push_back({kind, m, n, k, times * request.accumulation});
    }
    return products;
}

/// One product by every route, each having run once: libraries prepare themselves.
std::vector<ProductTrial> make_trials(const Product& product,
                                      const std::vector<std::string>& routes, bool bf16) {
    std::vector<ProductTrial> trials;
    for (const std::string& route : routes)
        trials.emplace_back(route, product.kind, product.m, product.n, product.k, bf16);
    for (ProductTrial& trial : trials) trial.run();
    return trials;
}

double seconds_of(ProductTrial& trial) {
    const double begin = steady_seconds();
    trial.run();
    return steady_seconds() - begin;
}

/// Seconds of one product by every route, [route][round].
std::vector<std::vector<double>> time_product(const Product& product,
                                              const std::vector<std::string>& routes, bool bf16,
                                              int64_t samples) {
    std::vector<ProductTrial> trials = make_trials(product, routes, bf16);
    std::vector<std::vector<double>> seconds(routes.size());
    const double start = steady_seconds();
    for (int64_t round = 0; round < samples; ++round) {
        throw_if_stopped();
        if (round >= kFewestSamples &&
            steady_seconds() - start > kMostSeconds * static_cast<double>(routes.size()))
            break;
        for (size_t r = 0; r < trials.size(); ++r) seconds[r].push_back(seconds_of(trials[r]));
    }
    return seconds;
}

/// Sums up the products of a step for one route.
struct Sum {
    std::vector<double> rounds;
    double flops = 0, seconds_by_median = 0;
    std::map<std::string, double> rates;

    void add(const Product& product, const std::vector<double>& seconds) {
        rounds.resize(rounds.empty() ? seconds.size() : std::min(rounds.size(), seconds.size()));
        const auto times = static_cast<double>(product.times);
        for (size_t i = 0; i < rounds.size(); ++i) rounds[i] += times * seconds[i];
        const double each = 2.0 * static_cast<double>(product.m) * static_cast<double>(product.n) *
                            static_cast<double>(product.k);
        flops += times * each;
        const double median_s = summarize(seconds).median_s;
        seconds_by_median += times * median_s;
        rates[product.name()] = each / median_s / 1e9;
    }

    Record record(const std::string& what, const StepRequest& request, bool bf16) const {
        Record record{.what = what,
                      .shape = {{"batch", request.batch},
                                {"n_ctx", request.model.n_ctx},
                                {"d_model", request.model.d_model},
                                {"n_layer", request.model.n_layer},
                                {"accumulation", request.accumulation}},
                      .types = {{"numbers", bf16 ? "bf16" : "fp32"}},
                      .threads = request.threads,
                      .timing = summarize(rounds),
                      .results = rates};
        // Medians of each product: a hiccup in a round of one says nothing of the others.
        record.results["step_ms"] = 1e3 * seconds_by_median;
        record.results["gflops"] = flops / seconds_by_median / 1e9;
        return record;
    }
};

void measure_type(const StepRequest& request, const std::vector<Product>& products,
                  const std::vector<std::string>& routes, bool bf16, std::vector<Record>& records) {
    std::vector<Sum> sums(routes.size());
    Sum best;
    for (const Product& product : products) {
        const auto seconds = time_product(product, routes, bf16, request.samples);
        size_t fastest = 0;
        for (size_t r = 0; r < routes.size(); ++r) {
            sums[r].add(product, seconds[r]);
            if (summarize(seconds[r]).median_s < summarize(seconds[fastest]).median_s) fastest = r;
        }
        best.add(product, seconds[fastest]);
    }
    const std::string type = bf16 ? ".bf16" : ".fp32";
    for (size_t r = 0; r < routes.size(); ++r)
        records.push_back(sums[r].record("gemm." + routes[r] + type, request, bf16));
    if (routes.size() > 1) records.push_back(best.record("gemm.best" + type, request, bf16));
}

}  // namespace

std::string Product::name() const {
    return fmt::format("{}x{}x{}.{}", m, n, k, model::name_of(kind));
}

double fastest_seconds(const Product& product, bool bf16, int64_t samples) {
    const std::vector<std::string> routes = model::product_routes();
    std::vector<ProductTrial> trials = make_trials(product, routes, bf16);
    std::vector<std::vector<double>> seconds(routes.size());
    for (int round = 0; round < 2; ++round)
        for (size_t r = 0; r < trials.size(); ++r) seconds[r].push_back(seconds_of(trials[r]));
    double fastest = std::ranges::min(seconds.front());
    for (const std::vector<double>& each : seconds)
        fastest = std::min(fastest, std::ranges::min(each));
    double least = std::numeric_limits<double>::infinity();
    for (size_t r = 0; r < trials.size(); ++r) {
        if (std::ranges::min(seconds[r]) > kClearlySlower * fastest) continue;
        throw_if_stopped();
        while (std::ssize(seconds[r]) < samples) seconds[r].push_back(seconds_of(trials[r]));
        least = std::min(least, summarize(seconds[r]).median_s);
    }
    return least;
}

double fastest_products_s(const StepRequest& request) {
    const bool bf16 = request.precision == config::Precision::kBfloat16;
    double seconds = 0;
    for (const Product& product : products_of(request, start_for_products(request)))
        seconds +=
            static_cast<double>(product.times) * fastest_seconds(product, bf16, kFewestSamples);
    return seconds;
}

std::vector<Record> bench_gemm(const StepRequest& wanted) {
    const StepRequest request = completed(wanted);
    const std::vector<Product> products = products_of(request, start_for_products(request));
    std::vector<Record> records;
    if (request.gemm != "auto") {
        const bool bf16 = request.precision == config::Precision::kBfloat16;
        measure_type(request, products, {request.gemm}, bf16, records);
        return records;
    }
    for (const bool bf16 : {false, true})
        measure_type(request, products, model::product_routes(), bf16, records);
    return records;
}

}  // namespace knlp::bench
