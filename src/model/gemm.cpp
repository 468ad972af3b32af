// Products of matrices where LibTorch is: on tensors for the generic path, and the library routes
// of the passes on buffers (cpu/product.h).

#include "gemm.h"

#include "cpu/route_choice.h"

#include "knlp/core/error.h"
#include "knlp/model/runtime.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <string_view>

namespace knlp::model {

using kernels::GemmArgs;
using kernels::GemmEpilogue;
using kernels::Storage;

namespace {

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

/// dy^T x, dy [M, N], x [M, K]. oneDNN wants its first operand contiguous. The cheaper of the two
/// to transpose goes first; the result is small beside M rows, so turning it round costs little.
at::Tensor onednn_weight(const at::Tensor& dy, const at::Tensor& x) {
    const int64_t rows = dy.size(0), n = dy.size(1), k = x.size(1);
    if (rows * n <= rows * k + n * k)
        return onednn_product(dy.t().contiguous(), x.t(), std::nullopt);
    return onednn_product(x.t().contiguous(), dy.t(), std::nullopt).t().contiguous();
}

std::optional<at::Tensor> optional_of(const at::Tensor& t) {
    return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

Route route_of(const at::Tensor& x, ProductKind kind) {
    if (!x.is_cpu() || x.scalar_type() != at::kFloat) return Route::kAten;
    return routes().at[index_of({ProductSite::kBlock, kind})];
}

/// op(A) op(B) of contiguous float32 matrices by our own kernels, into a new tensor.
at::Tensor native_product(const at::Tensor& a, bool transpose_a, const at::Tensor& b,
                          bool transpose_b, const at::Tensor& bias) {
    const at::Tensor left = a.contiguous(), right = b.contiguous();
    GemmArgs args;
    args.m = left.size(transpose_a ? 1 : 0);
    args.k = left.size(transpose_a ? 0 : 1);
    args.n = right.size(transpose_b ? 0 : 1);
    at::Tensor c = at::empty({args.m, args.n}, left.options());
    args.a = left.const_data_ptr<float>();
    args.b = right.const_data_ptr<float>();
    args.c = c.mutable_data_ptr<float>();
    args.lda = left.size(1);
    args.ldb = right.size(1);
    args.ldc = args.n;
    args.transpose_a = transpose_a;
    args.transpose_b = transpose_b;
    const at::Tensor shift = bias.defined() ? bias.contiguous() : bias;
    if (shift.defined()) args.bias = shift.const_data_ptr<float>();
    gemm_by(Route::kNative, args);
    return c;
}

}  // namespace

at::Tensor gemm_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    switch (route_of(x, ProductKind::kForward)) {
        case Route::kNative:
            return native_product(x, false, weight, true, bias);
        case Route::kOnednn:
            // One row is a matrix-vector product, bound by reading the weight: MKL's call has less
            // overhead.
            if (x.size(0) > 1) return onednn_product(x, weight, optional_of(bias));
            break;
        case Route::kAten:
            break;
    }
    return bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
}

at::Tensor gemm_input(const at::Tensor& dy, const at::Tensor& weight) {
    switch (route_of(dy, ProductKind::kInput)) {
        case Route::kNative:
            return native_product(dy, false, weight, false, {});
        case Route::kOnednn:
            return onednn_product(dy, weight.t(), std::nullopt);
        case Route::kAten:
            break;
    }
    return at::mm(dy, weight);
}

at::Tensor gemm_weight(const at::Tensor& dy, const at::Tensor& x) {
    switch (route_of(dy, ProductKind::kWeight)) {
        case Route::kNative:
            return native_product(dy, true, x, false, {});
        case Route::kOnednn:
            return onednn_weight(dy, x);
        case Route::kAten:
            break;
    }
    return at::mm(dy.t(), x);
}

bool onednn_available() {
    static const bool found =
        c10::Dispatcher::singleton().findSchema({kOperator, ""}).has_value() &&
        at::globalContext().hasMKLDNN();
    return found && at::globalContext().userEnabledMkldnn();
}

namespace {

/// The numbers at p as a tensor that borrows them.
at::Tensor view(const void* p, Storage type, int64_t rows, int64_t columns, int64_t stride) {
    return at::from_blob(const_cast<void*>(p), {rows, columns}, {stride, 1},
                         type == Storage::kF32 ? at::kFloat : at::kBFloat16);
}

/// op(A) op(B) + bias, in the type of the product.
at::Tensor library_product(Route route, const GemmArgs& args, const at::Tensor& a,
                           const at::Tensor& b, const at::Tensor& bias) {
    if (route == Route::kAten) return bias.defined() ? at::addmm(bias, a, b) : at::mm(a, b);
    if (args.transpose_a) return onednn_weight(a.t(), b);
    return onednn_product(a, b.t(), optional_of(bias));
}

/// The epilogue by operations of LibTorch, a pass each; `value` may be C.
void finish(const GemmArgs& args, const at::Tensor& value, at::Tensor& c) {
    const auto aux = [&](void* p) { return view(p, args.aux_type, args.m, args.n, args.ldc); };
    const bool tanh =
        args.epilogue == GemmEpilogue::kGeluTanh || args.epilogue == GemmEpilogue::kGeluTanhGrad;
    const char* const form = tanh ? "tanh" : "none";
    switch (args.epilogue) {
        case GemmEpilogue::kNone:
            if (args.accumulate)
                c.add_(value);
            else if (!value.is_same(c))
                c.copy_(value);
            return;
        case GemmEpilogue::kResidual:
            c.copy_(value + view(args.residual, Storage::kF32, args.m, args.n, args.ldc));
            return;
        case GemmEpilogue::kGeluTanh:
        case GemmEpilogue::kGeluErf:
            if (args.pre != nullptr) aux(args.pre).copy_(value);
            c.copy_(at::gelu(value, form));
            return;
        case GemmEpilogue::kGeluTanhGrad:
        case GemmEpilogue::kGeluErfGrad: {
            const at::Tensor pre = aux(args.pre).to(value.scalar_type());
            c.copy_(at::gelu_backward(value, pre, form));
            if (args.post != nullptr) aux(args.post).copy_(at::gelu(pre, form));
            return;
        }
    }
}

}  // namespace

void library_gemm(Route route, const GemmArgs& args) {
    KNLP_CHECK(route == Route::kAten || onednn_available());
    const at::NoGradGuard no_grad;
    const bool low = args.compute == Storage::kBf16;
    const auto operand = [&](const void* p, Storage type, int64_t rows, int64_t columns,
                             int64_t stride, bool transposed) {
        at::Tensor t = transposed ? view(p, type, columns, rows, stride)
                                  : view(p, type, rows, columns, stride);
        if (low) t = t.to(at::kBFloat16);
        return transposed ? t.t() : t;
    };
    const at::Tensor a = operand(args.a, args.a_type, args.m, args.k, args.lda, args.transpose_a);
    const at::Tensor b = operand(args.b, args.b_type, args.k, args.n, args.ldb, args.transpose_b);
    at::Tensor c = view(args.c, args.c_type, args.m, args.n, args.ldc);
    at::Tensor bias;
    if (args.bias != nullptr) bias = view(args.bias, Storage::kF32, 1, args.n, args.n)[0];
    if (low && bias.defined()) bias = bias.to(at::kBFloat16);
    if (route == Route::kAten && !low && args.c_type == Storage::kF32 &&
        args.epilogue == GemmEpilogue::kNone) {
        // Straight into C, without a copy.
        if (args.accumulate || bias.defined())
            at::addmm_out(c, args.accumulate ? c : bias, a, b);
        else
            at::mm_out(c, a, b);
        return;
    }
    finish(args, library_product(route, args, a, b, bias), c);
}

namespace {

RouteTiming current_timing;

}  // namespace

const RouteTiming& gemm_timing() {
    return current_timing;
}

void set_gemm_route(const std::string& route) {
    const Routes wanted = parse_routes(route);
    const bool onednn =
        std::find(wanted.at.begin(), wanted.at.end(), Route::kOnednn) != wanted.at.end();
    if (onednn && !onednn_available())
        fail(kNotAvailable,
             "GEMM route {}: this LibTorch has no operator {}; use native, aten or auto", route,
             kOperator);
    set_routes(wanted);
    current_timing = {};
}

std::string gemm_route() {
    return text_of(routes());
}

std::string choose_gemm_route(const std::string& wanted,
                              const std::vector<std::array<int64_t, 3>>& shapes, bool bf16) {
    if (wanted == "auto") {
        RouteChoice choice = choose_routes(shapes, bf16, onednn_available());
        set_routes(choice.routes);
        current_timing = std::move(choice.timing);
    } else {
        set_gemm_route(wanted);
    }
    return gemm_route();
}

}  // namespace knlp::model
