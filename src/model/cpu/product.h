#pragma once

#include "kernels/gemm.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace knlp::model {

/// Who multiplies: our kernels, oneDNN or the BLAS inside LibTorch.
enum class Route : uint8_t { kNative, kOnednn, kAten };
constexpr int64_t kRoutes = 3;
const char* name_of(Route route);

/// The three products of a linear layer, y = x W^T, dx = dy W, dW = dy^T x, in the blocks and in
/// the head: they have such different shapes that each has its own route.
enum class ProductKind : uint8_t { kForward, kInput, kWeight };
enum class ProductSite : uint8_t { kBlock, kHead };
struct Place {
    ProductSite site = ProductSite::kBlock;
    ProductKind kind = ProductKind::kForward;
};
constexpr int64_t kPlaces = 6;
constexpr size_t index_of(Place place) {
    return 3 * static_cast<size_t>(place.site) + static_cast<size_t>(place.kind);
}
Place place_at(size_t index);
/// "block.forward", "head.weight", ...
std::string name_of(Place place);

/// A route for every place. As text: the most frequent route, then what differs, such as
/// "native" or "native;head.weight=onednn".
struct Routes {
    std::array<Route, kPlaces> at{};
    bool operator==(const Routes&) const = default;
    bool all_native() const;
};
std::string text_of(const Routes& routes);
/// Error{kUsage} naming what is unknown and what is known.
Routes parse_routes(std::string_view text);

/// Those in force. Set by set_gemm_route() of runtime.h.
const Routes& routes();
void set_routes(const Routes& routes);

/// C = op(A) op(B) by the route of this place, on all threads of the team. Same bits for the same
/// route, instruction set and, where a library multiplies, number of threads.
void gemm(Place place, const kernels::GemmArgs& args);
void gemm_by(Route route, const kernels::GemmArgs& args);

/// Part `part` of `parts` of a product by our own kernels, inside a parallel region, with
/// scratch_of(part) of at least kernels::gemm_workspace_bytes().
void gemm_part(const kernels::GemmArgs& args, int64_t part, int64_t parts, std::byte* scratch);

/// Rows first .. last - 1 of a product: of op(A), C, and what its epilogue reads and writes.
kernels::GemmArgs rows_of(const kernels::GemmArgs& args, int64_t first, int64_t last);

/// 2 m n k, and the bytes of A, B, C and epilogue operands read or written once.
double flops_of(const kernels::GemmArgs& args);
double bytes_of(const kernels::GemmArgs& args);

/// By LibTorch's oneDNN or BLAS (gemm.cpp, where LibTorch is): operands as they lie, epilogues as
/// passes of their own.
void library_gemm(Route route, const kernels::GemmArgs& args);

}  // namespace knlp::model
