#include "src/model/cpu/route_choice.h"
#include "src/model/gemm.h"
#include "src/model/layers.h"
#include "tests/model/support.h"

#include "knlp/core/elf.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/model/product_trial.h"
#include "knlp/model/runtime.h"
#include "tests/support/expect_error.h"
#include "tests/support/scoped_environment.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace knlp::model {
namespace {

using test::relative_difference;
using test::some_ids;

/// Puts the route back, whatever a test did.
struct RouteGuard {
    std::string before = gemm_route();
    ~RouteGuard() { set_gemm_route(before); }
};

at::Tensor noise(int64_t rows, int64_t columns, double salt) {
    const at::Tensor i = at::arange(rows * columns, at::kDouble);
    return at::sin(i * 1.7 + i * i * 0.013 + salt).view({rows, columns}).to(at::kFloat);
}

TEST(GemmRoutes, AgreeWithFloat64OnAwkwardShapes) {
    const RouteGuard guard;
    for (const std::string route : {"native", "aten", "onednn"}) {
        if (route == "onednn" && !onednn_available()) continue;
        set_gemm_route(route);
        for (const auto& [m, n, k] : {std::array<int64_t, 3>{1, 1, 1},
                                      {1, 65, 17},
                                      {3, 17, 63},
                                      {65, 1, 5},
                                      {63, 257, 128},
                                      {130, 48, 33},
                                      {7, 1000, 3}}) {
            const at::Tensor x = noise(m, k, 1), w = noise(n, k, 2), b = noise(1, n, 3)[0],
                             dy = noise(m, n, 4);
            const at::Tensor x64 = x.to(at::kDouble), w64 = w.to(at::kDouble),
                             dy64 = dy.to(at::kDouble);
            // K terms of size one, each with 6e-8 of rounding; relative to the largest result.
            EXPECT_LT(relative_difference(gemm_forward(x, w, b), at::mm(x64, w64.t()) + b), 1e-5)
                << route;
            EXPECT_LT(relative_difference(gemm_forward(x, w, {}), at::mm(x64, w64.t())), 1e-5)
                << route;
            EXPECT_LT(relative_difference(gemm_input(dy, w), at::mm(dy64, w64)), 1e-5) << route;
            EXPECT_LT(relative_difference(gemm_weight(dy, x), at::mm(dy64.t(), x64)), 1e-5)
                << route;
            EXPECT_TRUE(gemm_weight(dy, x).is_contiguous());
        }
    }
}

TEST(GemmRoutes, TrainToTheSameLossAndGradients) {
    if (!onednn_available()) GTEST_SKIP() << "this LibTorch has no oneDNN";
    const RouteGuard guard;
    const config::Model m = gpt2_preset("nano");
    const at::Tensor ids = some_ids(4, 64, m.vocab_size),
                     targets = some_ids(4, 64, m.vocab_size, 9);
    std::vector<double> losses;
    std::vector<at::Tensor> gradients;
    for (const char* route : {"aten", "onednn", "native"}) {
        set_gemm_route(route);
        Gpt2 model(m);
        model.initialize(1);
        ForwardContext context;
        const at::Tensor loss = model.loss(ids, targets, context);
        loss.backward();
        losses.push_back(loss.item<double>());
        gradients.push_back(model.find("h.0.attn.c_attn.weight")->value.grad());
    }
    for (size_t i = 1; i < losses.size(); ++i) {
        EXPECT_NEAR(losses[0], losses[i], 1e-5 * losses[0]);
        EXPECT_LT(relative_difference(gradients[i], gradients[0]), 1e-4);
    }
}

TEST(GemmRoutes, AutoChoosesOneOfThemAndForcedIsKept) {
    const RouteGuard guard;
    const std::string chosen = choose_gemm_route("auto", {{64, 32, 32}, {64, 65, 32}});
    EXPECT_EQ(text_of(parse_routes(chosen)), chosen);
    EXPECT_EQ(gemm_route(), chosen);
    const RouteTiming timing = gemm_timing();
    EXPECT_EQ(timing.route, chosen);
    const ProductShapes shapes = {{64, 32, 32}, {64, 65, 32}};  // small: timed as they are
    EXPECT_EQ(timing.shapes, shapes);
    EXPECT_EQ(timing.seconds.size(), static_cast<size_t>(kPlaces));
    for (const auto& [place, times] : timing.seconds) {
        EXPECT_EQ(times.size(), product_routes().size() - (isa() == Isa::kScalar ? 1 : 0)) << place;
        for (const auto& [route, seconds] : times) EXPECT_GT(seconds, 0) << place << " " << route;
    }
    EXPECT_EQ(choose_gemm_route("aten", {{64, 32, 32}}), "aten");
    EXPECT_EQ(gemm_route(), "aten");
    EXPECT_TRUE(gemm_timing().seconds.empty());
    test::expect_error(kUsage, {"'blas' is unknown", "auto, native, onednn, aten"},
                       [] { set_gemm_route("blas"); });
}

TEST(GemmRoutes, ARouteThatLibTorchLacksIsNamed) {
    const RouteGuard guard;
    set_gemm_route("native");
    at::globalContext().setUserEnabledMkldnn(false);
    for (const char* route : {"onednn", "native;head.weight=onednn"}) {
        const std::string wanted = std::string("GEMM route ") + route;
        test::expect_error(kNotAvailable, {wanted, "use native, aten or auto"}, [&] {
            choose_gemm_route(route, {{64, 32, 32}});
        });
        test::expect_error(kNotAvailable, {wanted}, [&] { set_gemm_route(route); });
    }
    EXPECT_EQ(gemm_route(), "native");
    // auto makes do with what is there.
    const Routes chosen =
        choose_routes({{32, 48, 16}, {32, 65, 16}}, false, onednn_available()).routes;
    at::globalContext().setUserEnabledMkldnn(true);
    for (const Route route : chosen.at) EXPECT_NE(route, Route::kOnednn);
}

TEST(GemmRoutes, AListNamesWhatDiffersFromItsFirstRoute) {
    const Routes routes = parse_routes("aten;head.weight=native;block.input=onednn");
    EXPECT_EQ(routes.at[index_of({ProductSite::kHead, ProductKind::kWeight})], Route::kNative);
    EXPECT_EQ(routes.at[index_of({ProductSite::kBlock, ProductKind::kInput})], Route::kOnednn);
    EXPECT_EQ(routes.at[index_of({ProductSite::kBlock, ProductKind::kForward})], Route::kAten);
    EXPECT_EQ(text_of(routes), "aten;block.input=onednn;head.weight=native");
    EXPECT_EQ(text_of(parse_routes("native")), "native");
}

TEST(GemmRoutes, AListThatSaysNothingIsRefused) {
    test::expect_error(kUsage, {"'tail.weight'", "block.forward", "head.weight"},
                       [] { parse_routes("native;tail.weight=aten"); });
    test::expect_error(kUsage, {"'head.weight' names no route"},
                       [] { parse_routes("native;head.weight"); });
    for (const char* text : {"", "native;", "native;head.weight=", ";aten"})
        EXPECT_THROW(parse_routes(text), Error) << text;
}

/// The only file below a directory of the cache.
std::filesystem::path only_file(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        files.push_back(entry.path());
    EXPECT_EQ(files.size(), 1u);
    return files.empty() ? "" : files[0];
}

TEST(GemmRoutes, AChoiceIsRememberedAndADamagedOneMadeAgain) {
    const RouteGuard guard;
    const test::TempDir cache;
    const test::ScopedEnvironment place("XDG_CACHE_HOME", cache.path());
    const ProductShapes shapes = {{32, 48, 16}, {32, 65, 16}};
    const RouteChoice chosen = choose_routes(shapes, false, onednn_available());
    const std::filesystem::path file = only_file(cache.path() / "knlp" / "gemm-routes");
    const std::string text = read_file(file);
    const size_t choice = text.find("\n" + text_of(chosen.routes) + "\n{") + 1;
    ASSERT_NE(choice, 0u) << text;
    const std::string key = text.substr(0, choice), seconds = text.substr(text.find('{', choice));
    EXPECT_THAT(key, testing::HasSubstr(own_build_id()));

    const Routes other = parse_routes("aten;block.weight=native");
    write_file_atomic(file, key + text_of(other) + "\n" + seconds);
    const RouteChoice remembered = choose_routes(shapes, false, onednn_available());
    EXPECT_EQ(remembered.routes, other);
    EXPECT_EQ(remembered.timing.route, text_of(other));
    EXPECT_EQ(remembered.timing.shapes, chosen.timing.shapes);
    EXPECT_EQ(remembered.timing.seconds, chosen.timing.seconds);
    for (const std::string& damaged :
         {key + "aten;block\n" + seconds, std::string("x"), key + "aten",
          key + text_of(other) + "\n", key + text_of(other) + "\n{}\n",
          key + text_of(other) + "\n" + seconds.substr(0, seconds.size() / 2) + "}\n"}) {
        write_file_atomic(file, damaged);
        choose_routes(shapes, false, onednn_available());
        EXPECT_EQ(read_file(file).substr(0, key.size()), key);
        EXPECT_NE(read_file(file), damaged);
    }
    // Other shapes are another question.
    choose_routes({{32, 48, 16}, {32, 66, 16}}, false, onednn_available());
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(file.parent_path()), {}), 2);
}

TEST(LowPrecision, WeightIsConvertedAgainOnlyAfterItChanged) {
    Parameter weight;
    weight.value = noise(5, 4, 1).set_requires_grad(true);
    Linear linear(&weight, nullptr);
    const at::Tensor first = linear.low_precision_weight();
    EXPECT_TRUE(linear.low_precision_weight().is_same(first));
    at::NoGradGuard no_grad;
    weight.value.add_(1.0);
    const at::Tensor second = linear.low_precision_weight();
    EXPECT_FALSE(second.is_same(first));
    EXPECT_TRUE(at::equal(second, weight.value.to(at::kBFloat16)));
}

TEST(LowPrecision, LossAndGradientsAreCloseAndMastersStayFloat32) {
    const config::Model m = gpt2_preset("nano");
    Gpt2 model(m);
    model.initialize(1);
    const std::unique_ptr<Gpt2> low = model.clone();
    const at::Tensor ids = some_ids(2, 128, m.vocab_size),
                     targets = some_ids(2, 128, m.vocab_size, 9);
    ForwardContext context{.training = true, .dropout = 0.1, .seed = 3};
    const at::Tensor loss = model.loss(ids, targets, context);
    loss.backward();
    context.bf16 = true;
    const at::Tensor low_loss = low->loss(ids, targets, context);
    low_loss.backward();
    EXPECT_EQ(low_loss.scalar_type(), at::kFloat);
    // bfloat16 keeps 8 bits: 0.4 % of each product's operands, averaged over many.
    EXPECT_NEAR(low_loss.item<double>(), loss.item<double>(), 1e-2);
    EXPECT_NE(low_loss.item<double>(), loss.item<double>());
    for (size_t i = 0; i < model.parameters().size(); ++i) {
        const Parameter& p = low->parameters()[i];
        EXPECT_EQ(p.value.scalar_type(), at::kFloat);
        EXPECT_EQ(p.value.grad().scalar_type(), at::kFloat) << p.spec.name;
        const at::Tensor g = p.value.grad(), wanted = model.parameters()[i].value.grad();
        EXPECT_LT((g - wanted).norm().item<double>() / wanted.norm().item<double>(), 0.05)
            << p.spec.name;
    }
}

}  // namespace
}  // namespace knlp::model
