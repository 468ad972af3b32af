#include "product.h"

#include "kernel_set.h"
#include "parts.h"

#include "knlp/core/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

namespace knlp::model {

using kernels::GemmArgs;
using kernels::GemmEpilogue;
using kernels::Storage;

namespace {

constexpr const char* kRouteNames[kRoutes] = {"native", "onednn", "aten"};
constexpr const char* kSiteNames[] = {"block", "head"};
constexpr const char* kKindNames[] = {"forward", "input", "weight"};

// Below this a second thread costs more than it does; the bits are the same either way.
constexpr double kSmallFlops = 2e5;

Routes current;

int64_t value_bytes(Storage type) {
    return type == Storage::kF32 ? 4 : 2;
}

Route parse_route(std::string_view name, std::string_view whole) {
    for (size_t i = 0; i < kRoutes; ++i)
        if (name == kRouteNames[i]) return static_cast<Route>(i);
    fail(kUsage, "GEMM route '{}'{} is unknown; use auto, {}", name,
         name == whole ? "" : fmt::format(" in '{}'", whole), fmt::join(kRouteNames, ", "));
}

Place parse_place(std::string_view name, std::string_view whole) {
    std::vector<std::string> known;
    for (size_t i = 0; i < kPlaces; ++i) {
        if (name_of(place_at(i)) == name) return place_at(i);
        known.push_back(name_of(place_at(i)));
    }
    fail(kUsage, "GEMM route '{}': no product is called '{}'; there are {}", whole, name,
         fmt::join(known, ", "));
}

}  // namespace

const char* name_of(Route route) {
    return kRouteNames[static_cast<size_t>(route)];
}

Place place_at(size_t index) {
    return {static_cast<ProductSite>(index / 3), static_cast<ProductKind>(index % 3)};
}

std::string name_of(Place place) {
    return fmt::format("{}.{}", kSiteNames[static_cast<size_t>(place.site)],
                       kKindNames[static_cast<size_t>(place.kind)]);
}

bool Routes::all_native() const {
    return std::all_of(at.begin(), at.end(), [](Route r) { return r == Route::kNative; });
}

std::string text_of(const Routes& routes) {
    std::array<int64_t, kRoutes> uses{};
    for (const Route route : routes.at) ++uses[static_cast<size_t>(route)];
    const auto base = static_cast<Route>(std::max_element(uses.begin(), uses.end()) - uses.begin());
    std::string text = name_of(base);
    for (size_t i = 0; i < kPlaces; ++i)
        if (routes.at[i] != base)
            text += fmt::format(";{}={}", name_of(place_at(i)), name_of(routes.at[i]));
    return text;
}

Routes parse_routes(std::string_view text) {
    Routes routes;
    size_t end = std::min(text.find(';'), text.size());
    routes.at.fill(parse_route(text.substr(0, end), text));
    while (end < text.size()) {
        const size_t first = end + 1;
        end = std::min(text.find(';', first), text.size());
        const std::string_view entry = text.substr(first, end - first);
        const size_t equals = std::min(entry.find('='), entry.size());
        const Place place = parse_place(entry.substr(0, equals), text);
        if (equals == entry.size())
            fail(kUsage, "GEMM route '{}': '{}' names no route; write {}=native", text, entry,
                 entry);
        routes.at[index_of(place)] = parse_route(entry.substr(equals + 1), text);
    }
    return routes;
}

const Routes& routes() {
    return current;
}
void set_routes(const Routes& routes) {
    current = routes;
}

void gemm_part(const GemmArgs& args, int64_t part, int64_t parts, std::byte* scratch) {
    const KernelSet& kernels = kernel_set();
    (args.compute == Storage::kF32 ? kernels.gemm : kernels.gemm_bf16)(args, part, parts, scratch);
}

void gemm_by(Route route, const GemmArgs& args) {
    if (route != Route::kNative) return library_gemm(route, args);
    const int64_t parts = flops_of(args) < kSmallFlops ? 1 : part_count();
    reserve_scratch(parts, kernels::gemm_workspace_bytes());
    const auto work = [&](int64_t part) { gemm_part(args, part, parts, scratch_of(part)); };
    run_parts(parts, work);
}

void gemm(Place place, const GemmArgs& args) {
    gemm_by(current.at[index_of(place)], args);
}

GemmArgs rows_of(const GemmArgs& args, int64_t first, int64_t last) {
    const auto skip = [first](auto* pointer, int64_t row_bytes) -> decltype(pointer) {
        using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(pointer)>>,
                                        const std::byte, std::byte>;
        if (pointer == nullptr) return nullptr;
        return reinterpret_cast<decltype(pointer)>(reinterpret_cast<Byte*>(pointer) +
                                                   first * row_bytes);
    };
    KNLP_DCHECK(!args.transpose_a);
    GemmArgs part = args;
    part.m = last - first;
    part.a = skip(args.a, args.lda * value_bytes(args.a_type));
    part.c = skip(args.c, args.ldc * value_bytes(args.c_type));
    part.residual = skip(args.residual, args.ldc * 4);
    part.pre = skip(args.pre, args.ldc * value_bytes(args.aux_type));
    part.post = skip(args.post, args.ldc * value_bytes(args.aux_type));
    return part;
}

double flops_of(const GemmArgs& a) {
    return 2.0 * static_cast<double>(a.m) * static_cast<double>(a.n) * static_cast<double>(a.k);
}

double bytes_of(const GemmArgs& a) {
    const int64_t c = value_bytes(a.c_type) * (a.accumulate ? 2 : 1);
    const int64_t residual = a.residual != nullptr ? 4 : 0;
    const int64_t aux = value_bytes(a.aux_type) * ((a.pre != nullptr) + (a.post != nullptr));
    return static_cast<double>(a.m * a.k * value_bytes(a.a_type) +
                               a.k * a.n * value_bytes(a.b_type) +
                               a.m * a.n * (c + residual + aux));
}

}  // namespace knlp::model
