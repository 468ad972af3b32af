#include "route_choice.h"

#include "buffer.h"
#include "parts.h"

#include "knlp/config/build_info.h"
#include "knlp/core/elf.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>

namespace knlp::model {

namespace fs = std::filesystem;

using kernels::GemmArgs;
using kernels::GemmEpilogue;
using kernels::Storage;

namespace {

using Seconds = std::map<std::string, std::map<std::string, double>>;

constexpr double kPassFlops = 3e9;  // of one pass over all products, about 10 ms a route
constexpr double kBudget_s = 0.2;
constexpr int kFewestPasses = 4, kMostPasses = 9;
constexpr int64_t kFewestRows = 64, kMostColumns = 4096;
// A library has to win clearly: our own products fuse what comes after them and can run on
// sequences of their own, which is not part of this measurement.
constexpr double kClearly = 0.9;

/// The shapes with fewer rows and columns, so that a pass takes little time.
ProductShapes shrink(ProductShapes shapes) {
    double flops = 0;
    for (auto& [m, n, k] : shapes) {
        n = std::min(n, kMostColumns);
        flops += 6.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    }
    const double factor = std::min(1.0, kPassFlops / std::max(flops, 1.0));
    for (auto& [m, n, k] : shapes)
        m = std::max(std::min(m, kFewestRows),
                     static_cast<int64_t>(static_cast<double>(m) * factor));
    return shapes;
}

/// Memory for the largest of the products, filled with ones.
class Operands {
public:
    explicit Operands(const ProductShapes& shapes) {
        int64_t most = 1;
        for (const auto& [m, n, k] : shapes) most = std::max({most, m * n, n * k, m * k});
        for (Buffer& buffer : buffers_) {
            buffer.reserve(4 * most);
            std::fill_n(reinterpret_cast<float*>(buffer.data()), most, 1.0f);
        }
    }
    float* at(size_t i) { return reinterpret_cast<float*>(buffers_[i].data()); }

private:
    std::array<Buffer, 6> buffers_;
};

/// A product of a layer [N, K] on M rows as the passes ask for it (block.cpp).
GemmArgs product_of(ProductKind kind, std::array<int64_t, 3> shape, bool head, bool bf16,
                    Operands& memory) {
    const auto [m, n, k] = shape;
    const Storage type = bf16 ? Storage::kBf16 : Storage::kF32;
    GemmArgs a;
    a.a = memory.at(0);
    a.b = memory.at(1);
    a.c = memory.at(2);
    a.a_type = a.compute = type;
    if (kind == ProductKind::kForward) {
        a.m = m, a.n = n, a.k = k, a.lda = k, a.ldb = k, a.ldc = n;
        a.transpose_b = true;
        if (head) return a;
        a.bias = memory.at(3);
        a.epilogue = n > 3 * k ? GemmEpilogue::kGeluTanh : GemmEpilogue::kResidual;
    } else if (kind == ProductKind::kInput) {
        a.m = m, a.n = k, a.k = n, a.lda = n, a.ldb = k, a.ldc = k;
        if (head || k <= 3 * n) return a;
        a.epilogue = GemmEpilogue::kGeluTanhGrad;
        a.post = memory.at(5);
    } else {
        a.m = n, a.n = k, a.k = m, a.lda = n, a.ldb = k, a.ldc = k;
        a.transpose_a = a.accumulate = true;
        a.b_type = type;
        return a;
    }
    const bool gelu = a.epilogue != GemmEpilogue::kResidual;
    a.pre = gelu ? memory.at(4) : nullptr;
    a.residual = gelu ? nullptr : memory.at(4);
    if (gelu) a.c_type = a.aux_type = type;
    return a;
}

double seconds_of(Route route, const GemmArgs& args) {
    const double start = steady_seconds();
    gemm_by(route, args);
    return steady_seconds() - start;
}

/// Times every candidate on these shapes, chooses, and notes the least times in `seconds`.
Routes time_routes(const ProductShapes& shapes, bool bf16, const std::vector<Route>& candidates,
                   Seconds& seconds) {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    using Times = std::array<double, kRoutes>;
    Operands memory(shapes);
    std::vector<std::array<Times, 3>> best(shapes.size());
    for (auto& kinds : best)
        for (Times& times : kinds) times.fill(kNever);
    const double start = steady_seconds();
    // The first pass warms caches and makes what libraries compile at run time.
    for (int pass = 0;
         pass < kFewestPasses || (pass < kMostPasses && steady_seconds() - start < kBudget_s);
         ++pass)
        for (size_t i = 0; i < shapes.size(); ++i)
            for (size_t kind = 0; kind < 3; ++kind) {
                const GemmArgs args = product_of(static_cast<ProductKind>(kind), shapes[i],
                                                 i + 1 == shapes.size(), bf16, memory);
                for (const Route route : candidates) {
                    double& least = best[i][kind][static_cast<size_t>(route)];
                    const double once = seconds_of(route, args);
                    if (pass > 0) least = std::min(least, once);
                }
            }
    Routes routes;
    for (size_t p = 0; p < kPlaces; ++p) {
        const bool head = place_at(p).site == ProductSite::kHead;
        Times total{};
        for (size_t i = 0; i < shapes.size(); ++i)
            if (head == (i + 1 == shapes.size()))
                for (size_t r = 0; r < kRoutes; ++r)
                    total[r] += best[i][static_cast<size_t>(place_at(p).kind)][r];
        routes.at[p] = candidates.front();
        for (const Route route : candidates) {
            const double mine = total[static_cast<size_t>(route)];
            if (mine < kClearly * total[static_cast<size_t>(routes.at[p])]) routes.at[p] = route;
            double& least =
                seconds[name_of(place_at(p))].emplace(name_of(route), mine).first->second;
            least = std::min(least, mine);
        }
    }
    return routes;
}

std::string cache_key(const ProductShapes& shapes, bool bf16, bool onednn) {
    const config::BuildInfo& build = config::build_info();
    std::string key =
        fmt::format("cpu {}\nthreads {}\nisa {}\nprogram {} {} {} {} torch {}\nbf16 {} onednn {}\n",
                    host().cpu_model, part_count(), name_of(isa()), build.version, build.git_commit,
                    build.git_diff_sha256, own_build_id(), build.torch_version, bf16, onednn);
    for (const auto& [m, n, k] : shapes) key += fmt::format("{}x{}x{} ", m, n, k);
    return one_line(key);
}

fs::path cache_entry(const std::string& key) {
    const fs::path base = cache_directory();
    if (base.empty()) return {};
    return base / "gemm-routes" / fmt::format("{:016x}", xxh3(std::as_bytes(std::span(key))));
}

/// Whether every candidate has a time at every place.
bool is_whole(const Seconds& seconds, const std::vector<Route>& candidates) {
    for (size_t p = 0; p < kPlaces; ++p) {
        const auto place = seconds.find(name_of(place_at(p)));
        if (place == seconds.end()) return false;
        for (const Route route : candidates) {
            const auto time = place->second.find(name_of(route));
            if (time == place->second.end() || !std::isfinite(time->second)) return false;
        }
    }
    return true;
}

struct Remembered {
    Routes routes;
    Seconds seconds;
};

/// "<key>\n<routes>\n<seconds as JSON>\n"; nothing for any other content.
std::optional<Remembered> recall(const fs::path& entry, const std::string& key,
                                 const std::vector<Route>& candidates) {
    std::error_code ignored;
    if (entry.empty() || !fs::is_regular_file(entry, ignored)) return std::nullopt;
    try {
        const std::string text = read_file(entry, 1 << 16);
        if (!text.starts_with(key + "\n") || !text.ends_with("}\n")) return std::nullopt;
        const std::string_view rest = std::string_view(text).substr(key.size() + 1);
        const size_t line = rest.find('\n');
        Remembered found{.routes = parse_routes(rest.substr(0, line)),
                         .seconds = nlohmann::json::parse(rest.substr(line + 1)).get<Seconds>()};
        if (is_whole(found.seconds, candidates)) return found;
    } catch (const Error&) {  // damaged, as below
    } catch (const nlohmann::json::exception&) {
    }
    return std::nullopt;
}

void remember(const fs::path& entry, const std::string& key, const Remembered& choice) {
    std::error_code failed;
    if (entry.empty()) return;
    fs::create_directories(entry.parent_path(), failed);
    if (failed) return;
    try {
        write_file_atomic(entry, key + "\n" + text_of(choice.routes) + "\n" +
                                     nlohmann::json(choice.seconds).dump() + "\n");
    } catch (const Error&) {
        // A cache that cannot be written only costs time.
    }
}

}  // namespace

RouteChoice choose_routes(const ProductShapes& shapes, bool bf16, bool onednn) {
    std::vector<Route> candidates;
    // Our scalar kernels are a definition, not a candidate.
    if (isa() != Isa::kScalar) candidates.push_back(Route::kNative);
    if (onednn) candidates.push_back(Route::kOnednn);
    candidates.push_back(Route::kAten);
    Routes only;
    only.at.fill(candidates.front());
    if (candidates.size() == 1 || shapes.empty()) return {.routes = only, .timing = {}};
    const std::string key = cache_key(shapes, bf16, onednn);
    const fs::path entry = cache_entry(key);
    const ProductShapes timed = shrink(shapes);
    const auto choice = [&](const Remembered& found) {
        return RouteChoice{found.routes, {text_of(found.routes), timed, found.seconds}};
    };
    if (const auto known = recall(entry, key, candidates)) return choice(*known);
    Seconds seconds;
    Routes routes = time_routes(timed, bf16, candidates, seconds);
    if (routes.at != only.at) {
        // Other work on the machine can make our own products look slow, and the choice is kept: a
        // library has to win twice.
        const Routes again = time_routes(timed, bf16, candidates, seconds);
        for (size_t p = 0; p < kPlaces; ++p)
            if (again.at[p] != routes.at[p]) routes.at[p] = candidates.front();
    }
    remember(entry, key, {routes, seconds});
    return choice({routes, seconds});
}

}  // namespace knlp::model
