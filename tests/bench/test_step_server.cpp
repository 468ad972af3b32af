#include "knlp/bench/step_server.h"

#include "knlp/core/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <sstream>

namespace knlp::bench {
namespace {

using nlohmann::json;

ServeRequest small_request() {
    ServeRequest request{.step = {.batch = 2, .gemm = "aten", .threads = 1}};
    config::Model& model = request.step.model;
    model.size = "custom";
    model.n_layer = 2;
    model.n_head = 2;
    model.d_model = 32;
    model.n_ctx = 16;
    model.vocab_size = 50;
    model.dropout = 0;
    return request;
}

/// The answers to these lines, the greeting first.
std::vector<json> answers(const ServeRequest& request, const std::string& lines) {
    std::istringstream in(lines);
    std::ostringstream out;
    serve_steps(request, in, out);
    std::vector<json> all;
    std::istringstream text(out.str());
    for (std::string line; std::getline(text, line);) all.push_back(json::parse(line));
    return all;
}

TEST(StepServer, GreetsAndTakesAsManyStepsAsAsked) {
    const std::vector<json> said = answers(small_request(), "run 3\nrun 0\nquit\nrun 1\n");
    ASSERT_EQ(said.size(), 3u) << "nothing is answered after quit";
    EXPECT_TRUE(said[0].at("ready").get<bool>());
    EXPECT_EQ(said[0].at("gemm"), "aten");
    ASSERT_EQ(said[1].at("losses").size(), 3u);
    ASSERT_EQ(said[1].at("step_s").size(), 3u);
    EXPECT_NEAR(said[1]["losses"][0].get<double>(), std::log(50.0), 0.3);
    EXPECT_GT(said[1].at("peak_rss_bytes").get<int64_t>(), 0);
    EXPECT_TRUE(said[2].at("losses").empty());
}

TEST(StepServer, PausesChangeNothing) {
    const std::vector<json> paused = answers(small_request(), "run 1\nrun 2\n");
    const std::vector<json> straight = answers(small_request(), "run 3\n");
    EXPECT_EQ(straight[1]["losses"][0], paused[1]["losses"][0]);
    EXPECT_EQ(straight[1]["losses"][2], paused[2]["losses"][1]);
    EXPECT_NE(straight[1]["losses"][0], straight[1]["losses"][2]);
}

TEST(StepServer, GivenWindowsAreReadEveryStep) {
    ServeRequest request = small_request();
    request.learning_rate = 0;
    const std::vector<json> said =
        answers(request, "run 2\nwindows 5 700\nrun 2\nwindows 700 5\nrun 1\n");
    EXPECT_NE(said[1]["losses"][0], said[1]["losses"][1]) << "shuffled windows differ";
    EXPECT_EQ(said[3]["losses"][0], said[3]["losses"][1]);
    EXPECT_NEAR(said[5]["losses"][0].get<double>(), said[3]["losses"][0].get<double>(), 1e-5);
}

TEST(StepServer, SavedWeightsStartAnotherFromTheSamePlace) {
    const test::TempDir directory;
    const std::string saved = directory.file("model").string();
    const std::vector<json> first = answers(small_request(), "save " + saved + "\nrun 2\n");
    ServeRequest other = small_request();
    other.init_from = saved;
    const std::vector<json> second = answers(other, "run 2\n");
    EXPECT_EQ(first[2]["losses"], second[1]["losses"]);
    EXPECT_TRUE(std::filesystem::exists(directory.file("model") / "config.json"));
}

TEST(StepServer, RoutesAreTimedInThePrecisionOfTheStep) {
    const test::TempDir cache;
    const char* before = std::getenv("XDG_CACHE_HOME");
    const std::string kept = before != nullptr ? before : "";
    ::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
    ServeRequest request = small_request();
    request.step.gemm = "auto";
    request.step.precision = config::Precision::kBfloat16;
    answers(request, "quit\n");
    before != nullptr ? ::setenv("XDG_CACHE_HOME", kept.c_str(), 1) : ::unsetenv("XDG_CACHE_HOME");
    const std::filesystem::path remembered = cache.file("knlp") / "gemm-routes";
    if (!std::filesystem::exists(remembered)) GTEST_SKIP() << "there is but one route to take";
    for (const auto& entry : std::filesystem::directory_iterator(remembered))
        EXPECT_NE(read_file(entry.path()).find("bf16 true"), std::string::npos) << entry.path();
}

TEST(StepServerBadInput, SaysWhatMayBeAsked) {
    for (const auto& [line, text] :
         {std::pair("walk 3", "run N"), std::pair("run", "run N"), std::pair("run -1", "'-1'"),
          std::pair("run many", "'many'"), std::pair("windows 3", "1 places"),
          std::pair("windows 3 99999999", "outside"), std::pair("save", "save DIR")})
        test::expect_error(kUsage, {text}, [line = line] { answers(small_request(), line); });
}

}  // namespace
}  // namespace knlp::bench
