#include "gemm.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/model/runtime.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <time.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace knlp::model {

namespace {

enum class Route { kAten, kOnednn };
Route current_route = Route::kAten;

constexpr const char* kOperator = "mkldnn::_linear_pointwise";
using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, std::string_view,
                                   c10::List<std::optional<at::Scalar>>,
                                   std::optional<std::string_view>);

/// a [M, K], b [N, K] -> a b^T + bias. b may be a transposed view; oneDNN reads it as it lies.
at::Tensor onednn_product(const at::Tensor& a, const at::Tensor& b,
                          const std::optional<at::Tensor>& bias) {
    static const c10::TypedOperatorHandle<LinearPointwise> op =
        c10::Dispatcher::singleton().findSchemaOrThrow(kOperator, "").typed<LinearPointwise>();
    return op.call(a, b, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

bool takes_onednn(const at::Tensor& a) {
    return current_route == Route::kOnednn && a.is_cpu() && a.scalar_type() == at::kFloat;
}

std::optional<at::Tensor> optional_of(const at::Tensor& t) {
    return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

}  // namespace

at::Tensor gemm_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    // One row is a matrix-vector product, bound by reading the weight: MKL's call has less
    // overhead.
    if (takes_onednn(x) && x.size(0) > 1) return onednn_product(x, weight, optional_of(bias));
    return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

at::Tensor gemm_input(const at::Tensor& dy, const at::Tensor& weight) {
    if (takes_onednn(dy)) return onednn_product(dy, weight.t(), std::nullopt);
    return at::mm(dy, weight);
}

at::Tensor gemm_weight(const at::Tensor& dy, const at::Tensor& x) {
    if (!takes_onednn(dy)) return at::mm(dy.t(), x);
    // oneDNN wants its first operand contiguous. The cheaper of the two to transpose goes first;
    // the result is small beside M rows, so turning it round costs little.
    const int64_t rows = dy.size(0), n = dy.size(1), k = x.size(1);
    if (rows * n <= rows * k + n * k)
        return onednn_product(dy.t().contiguous(), x.t(), std::nullopt);
    return onednn_product(x.t().contiguous(), dy.t(), std::nullopt).t().contiguous();
}

bool onednn_available() {
    static const bool found =
        c10::Dispatcher::singleton().findSchema({kOperator, ""}).has_value() &&
        at::globalContext().hasMKLDNN();
    return found;
}

namespace {

using Shapes = std::vector<std::array<int64_t, 3>>;

/// The shapes with fewer rows and columns, so that both routes fit into the time a choice may cost.
Shapes shrink(Shapes shapes) {
    constexpr double kPassBudget = 4e8;  // multiply-adds of one pass over all shapes
    constexpr int64_t kFewestRows = 64, kMostColumns = 4096;
    double work = 0;
    for (auto& [m, n, k] : shapes) {
        n = std::min(n, kMostColumns);
        work += 3.0 * double(m) * double(n) * double(k);
    }
    const double factor = std::min(1.0, kPassBudget / std::max(work, 1.0));
    for (auto& shape : shapes)
        shape[0] = std::max(std::min(shape[0], kFewestRows), int64_t(double(shape[0]) * factor));
    return shapes;
}

/// CPU time of this thread: what other programs take of the machine does not count.
double thread_seconds() {
    timespec now = {};
    KNLP_CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Seconds of the three products of one shape by the current route.
double time_products(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& dy) {
    const double start = thread_seconds();
    gemm_forward(x, weight, {});
    gemm_input(dy, weight);
    gemm_weight(dy, x);
    return thread_seconds() - start;
}

/// Runs on one thread while it lives: waiting for a second one would be measured as work.
struct OneThread {
    int before = at::get_num_threads();
    OneThread() { at::set_num_threads(1); }
    ~OneThread() { at::set_num_threads(before); }
};

/// Sum over shapes of the best time, {aten, onednn}. The routes take turns; the first pass only
/// warms caches and just-in-time kernels.
std::array<double, 2> time_routes(const Shapes& shapes) {
    constexpr double kBudget_s = 0.15;
    at::NoGradGuard no_grad;
    const OneThread one_thread;
    const double start = steady_seconds();
    std::vector<std::array<double, 2>> best(shapes.size(), {INFINITY, INFINITY});
    for (int pass = 0; pass < 2 || (pass < 8 && steady_seconds() - start < kBudget_s); ++pass)
        for (size_t i = 0; i < shapes.size(); ++i) {
            const auto [m, n, k] = shapes[i];
            const at::Tensor x = at::full({m, k}, 0.5f), w = at::full({n, k}, 0.5f),
                             dy = at::ones({m, n});
            for (const Route route : {Route::kAten, Route::kOnednn}) {
                current_route = route;
                const double seconds = time_products(x, w, dy);
                double& least = best[i][route == Route::kOnednn ? 1 : 0];
                if (pass > 0) least = std::min(least, seconds);
            }
        }
    std::array<double, 2> total = {0, 0};
    for (const auto& [aten, onednn] : best) {
        total[0] += aten;
        total[1] += onednn;
    }
    return total;
}

}  // namespace

void set_gemm_route(const std::string& route) {
    if (route == "aten") {
        current_route = Route::kAten;
    } else if (route == "onednn") {
        if (!onednn_available())
            fail(kNotAvailable,
                 "GEMM route onednn: this LibTorch has no operator {}; use aten or auto",
                 kOperator);
        current_route = Route::kOnednn;
    } else {
        fail(kUsage, "GEMM route '{}' is unknown; use auto, aten or onednn", route);
    }
}

const std::string& gemm_route() {
    static const std::string names[] = {"aten", "onednn"};
    return names[current_route == Route::kOnednn ? 1 : 0];
}

std::string choose_gemm_route(const std::string& wanted,
                              const std::vector<std::array<int64_t, 3>>& shapes) {
    if (wanted != "auto") {
        set_gemm_route(wanted);
        return gemm_route();
    }
    set_gemm_route("aten");
    if (!onednn_available() || shapes.empty()) return gemm_route();
    const auto [aten, onednn] = time_routes(shrink(shapes));
    current_route = onednn < aten ? Route::kOnednn : Route::kAten;
    return gemm_route();
}

}  // namespace knlp::model
