#include "knlp/report/report.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <fstream>

#include "knlp/core/file.h"
#include "src/report/key_figures.h"
#include "tests/report/fake_run.h"
#include "tests/report/xml_check.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// A page is long: only what was looked for is printed.
testing::AssertionResult has(const std::string& page, const std::string& part) {
    const bool found = page.find(part) != std::string::npos;
    return (found ? testing::AssertionSuccess() : testing::AssertionFailure())
           << "the page has " << (found ? "" : "not ") << part;
}

/// The page of a run; every page of these tests must be well-formed and stand alone.
std::string page_of(const fs::path& run) {
    const std::string page = read_file(write_report(run));
    EXPECT_EQ(test::xml_problem(page), "");
    for (const char* outside :
         {"http:", "https:", "<script", "<link", "<img", "@import", "url(", " src="})
        EXPECT_FALSE(has(page, outside));
    return page;
}

/// The command of this purpose.
std::string command(const fs::path& run, const std::string& purpose) {
    for (const Command& one : commands_of(read_run(run)))
        if (one.purpose == purpose) return one.line;
    return "";
}

/// Changes one field of a JSON file of a run.
void change(const fs::path& file, const char* pointer, const nlohmann::json& value) {
    nlohmann::json whole = nlohmann::json::parse(read_file(file));
    whole[nlohmann::json::json_pointer(pointer)] = value;
    std::ofstream(file) << whole.dump();
}

void append(const fs::path& file, const std::string& text) {
    std::ofstream(file, std::ios::app) << text;
}

}  // namespace

TEST(XmlCheck, FindsWhatIsWrong) {
    EXPECT_EQ(test::xml_problem("<!DOCTYPE html><a b=\"1\"><c/>x &amp; y</a>"), "");
    EXPECT_NE(test::xml_problem("<a><b></a></b>"), "");
    EXPECT_NE(test::xml_problem("<a b=1></a>"), "");
    EXPECT_NE(test::xml_problem("<a>x & y</a>"), "");
    EXPECT_NE(test::xml_problem("<a>x < y</a>"), "");
    EXPECT_NE(test::xml_problem("<a b=\"1\" b=\"2\"/>"), "");
    EXPECT_NE(test::xml_problem("<a>"), "");
}

TEST(Page, ShowsTheFiguresOfTheRun) {
    test::TempDir dir;
    const std::string page = page_of(test::write_fake_run(dir.path()));
    // fake_val_loss(600) = 2.0735, its standard error 0.06, / ln 2 = 2.9914
    EXPECT_TRUE(has(page, "2.073"));
    EXPECT_TRUE(has(page, "± 0.060 nats/byte, step 600"));
    EXPECT_TRUE(has(page, "2.991"));
    EXPECT_TRUE(has(page, "1.23 M"));
    EXPECT_TRUE(has(page, "3 min 42 s"));
    EXPECT_TRUE(has(page, "842,496"));
    EXPECT_TRUE(has(page, "make defconfig-gpt2-nano-cpu"));
    EXPECT_TRUE(has(page, std::string(64, '1')));
    EXPECT_FALSE(has(page, "class=\"banner\""));
    EXPECT_FALSE(has(page, "class=\"watermark\""));
}

TEST(Page, IsByteIdenticalWhenMadeAgain) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    const std::string first = page_of(run);
    const std::string summary = read_file(run / "summary_report.txt"),
                      curves = read_file(run / "curves.csv");
    EXPECT_EQ(page_of(fs::relative(run)), first) << "the way the path is written must not matter";
    EXPECT_EQ(read_file(run / "summary_report.txt"), summary);
    EXPECT_EQ(read_file(run / "curves.csv"), curves);
}

TEST(Page, MarksSubstituteDataInBannerAndEveryFigure) {
    test::TempDir dir;
    const std::string page =
        page_of(test::write_fake_run(dir.path(), {.substitute = "the kernel's text stands in"}));
    EXPECT_TRUE(has(page, "class=\"banner\""));
    EXPECT_TRUE(has(page, "the kernel&#39;s text stands in"));
    size_t figures = 0, marks = 0;
    for (size_t at = 0; (at = page.find("<figure", at)) != std::string::npos; ++at) ++figures;
    for (size_t at = 0; (at = page.find("SUBSTITUTE DATA</text>", at)) != std::string::npos; ++at)
        ++marks;
    EXPECT_EQ(figures, 4u);
    EXPECT_EQ(marks, figures);
}

TEST(Page, WarnsOfChangesThatWereNotCommitted) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    nlohmann::json manifest = track::read_manifest(run);
    manifest["git_dirty"] = true;
    std::ofstream(run / "manifest.json") << manifest.dump();
    EXPECT_TRUE(has(page_of(run), "uncommitted changes:"));
}

TEST(Commands, OfAFineTunedRunNameItsFirstWeights) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    const auto from = [&](const fs::path& path) {
        change(run / "manifest.json", "/parents",
               nlohmann::json::array({{{"kind", "init_from"}, {"path", path.string()}}}));
    };
    const std::string again = "make build && ./knlp train --config results/runs/" +
                              run.filename().string() + "/config",
                      preset = "make defconfig-gpt2-nano-cpu && make SET=ZEBRA_LAST=12";
    EXPECT_EQ(command(run, "the same run again"), again);
    EXPECT_EQ(command(run, "the same from its preset"), preset);
    EXPECT_FALSE(has(page_of(run), "<dt>Started from</dt>"));
    // Below the tree as it is typed there, whatever the current directory of the report is.
    from(fs::canonical(dir.path()) / "results/runs/base");
    EXPECT_EQ(command(run, "the same run again"), again + " --init-from results/runs/base");
    EXPECT_EQ(command(run, "the same from its preset"),
              preset + " EXTRA_ARGS='--init-from results/runs/base'");
    EXPECT_TRUE(has(page_of(run), "<dt>Started from</dt><dd>results/runs/base</dd>"));
    from("/models/my $gpt2");
    EXPECT_EQ(command(run, "the same run again"), again + " --init-from '/models/my $gpt2'");
    EXPECT_EQ(command(run, "the same from its preset"),
              preset + R"( EXTRA_ARGS='--init-from '\''/models/my $$gpt2'\''')");
}

TEST(Commands, KeepTheBlanksOfAValue) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    change(run / "config.resolved.json", "/TEXT", {{"value", "my book.txt"}, {"origin", "cli"}});
    EXPECT_EQ(command(run, "the same from its preset"),
              R"(make defconfig-gpt2-nano-cpu && make SET=ZEBRA_LAST=12 )"
              R"(EXTRA_ARGS='--set '\''TEXT=my book.txt'\''')");
}

TEST(Page, SaysThatAResumeChangedSomething) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    EXPECT_FALSE(has(page_of(run), "more than one"));
    change(run / "manifest.json", "/attempts", nlohmann::json::parse(R"([
        {"from_step":0,"changed_symbols":[],"replaced_data":[],"budgets":{"max_iters":10}},
        {"from_step":5,"changed_symbols":[{"name":"LEARNING_RATE","old":"1e-2","new":"5e-3"},
                                          {"name":"LOSS_CHUNK","old":"8","new":null}],
         "replaced_data":[],"budgets":{"max_iters":10}},
        {"from_step":7,"changed_symbols":[],"replaced_data":[{"role":"train"}],"budgets":{"max_iters":10}},
        {"from_step":9,"changed_symbols":[],"replaced_data":[],"budgets":{"max_iters":20}}])"));
    const std::string said =
        "Trained under more than one configuration: from step 5 on: "
        "LEARNING_RATE=5e-3 (was 1e-2), LOSS_CHUNK=off (was 8); from step 7 on: "
        "other data; from step 9 on: another budget, which the schedule follows.";
    EXPECT_EQ(caveats(read_run(run)), std::vector<std::string>{said});
    EXPECT_TRUE(has(page_of(run), "class=\"banner\""));
    EXPECT_TRUE(has(page_of(run), "this one was trained under more than one"));
    EXPECT_EQ(command(run, "the same run again"), "");
}

TEST(Page, MarksSyntheticData) {
    test::TempDir dir;
    EXPECT_TRUE(has(page_of(test::write_fake_run(dir.path(), {.synthetic = true})),
                    "SYNTHETIC DATA</text>"));
}

TEST(Page, EscapesWhateverTheDataSays) {
    test::TempDir dir;
    const std::string page =
        page_of(test::write_fake_run(dir.path(), {.substitute = "</p><script>alert(1)</script>",
                                                  .sample = "</pre><b x=\"&\">\x01\xff"}));
    EXPECT_TRUE(has(page, "&lt;script&gt;alert(1)"));
    EXPECT_TRUE(has(page, "&lt;/pre&gt;&lt;b x=&quot;&amp;&quot;&gt;\uFFFD\uFFFD"));
}

TEST(Page, PutsSettingsThatWereChosenFirst) {
    test::TempDir dir;
    const std::string page = page_of(test::write_fake_run(dir.path()));
    EXPECT_LT(page.find("<td>ZEBRA_LAST</td>"), page.find("<td>DEVICE</td>"));
    EXPECT_TRUE(has(page, "3 of 5 symbols set"));
}

TEST(Page, OfARunWithoutAnyStepSaysSo) {
    test::TempDir dir;
    const std::string page =
        page_of(test::write_fake_run(dir.path(), {.steps = 0, .state = "running", .sample = ""}));
    EXPECT_TRUE(has(page, "no values recorded"));
    EXPECT_TRUE(has(page, "no evaluation recorded"));
    EXPECT_FALSE(has(page, "<h2>Sample</h2>"));
}

TEST(Page, OfOneStepDrawsItsPoint) {
    test::TempDir dir;
    const std::string page =
        page_of(test::write_fake_run(dir.path(), {.steps = 1, .state = "preempted"}));
    EXPECT_TRUE(has(page, "training batches: 5.55"));
    EXPECT_TRUE(has(page, "in 1 steps"));
    EXPECT_TRUE(has(page, "stopped early, resumable"));
    EXPECT_TRUE(has(page, "./knlp train --resume results/runs/"));
}

TEST(Page, SurvivesLossesThatAreNotFinite) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path(), {.state = "failed"});
    append(run / "metrics.jsonl",
           "{\"event\":\"train\",\"loss\":\"nan\",\"step\":610}\n"
           "{\"event\":\"train\",\"loss\":\"inf\",\"step\":620}\n");
    const std::string page = page_of(run);
    EXPECT_TRUE(has(page, "(× 2 not finite)"));
    EXPECT_TRUE(has(page, "state-bad"));
    EXPECT_FALSE(has(page, "nan%"));
}

TEST(Page, SaysWhyARunFailed) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path(), {.state = "failed"});
    std::ofstream(run / "status.json") << R"({"state":"failed","reason":"loss <nan> at step 7"})";
    EXPECT_TRUE(has(page_of(run), "<b>Failed:</b> loss &lt;nan&gt; at step 7"));
    EXPECT_THAT(text_summary(run), HasSubstr("failed      loss <nan> at step 7\n"));
}

TEST(Page, SurvivesADamagedLastLine) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    const std::string whole = page_of(run);
    append(run / "metrics.jsonl", "{\"event\":\"train\",\"lo");
    EXPECT_EQ(page_of(run), whole);
}

TEST(Page, SurvivesMissingAndDamagedFiles) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    fs::remove(run / "summary.json");
    fs::remove(run / "config.resolved.json");
    fs::remove(run / "samples.txt");
    fs::remove(run / "status.json");
    std::ofstream(run / "manifest.json") << "{\"state\": ";
    const std::string page = page_of(run);
    EXPECT_TRUE(has(page, "config.resolved.json is missing"));
    EXPECT_TRUE(has(page, "manifest.json"));
    EXPECT_TRUE(has(page, "2.073"));
}

TEST(Page, SurvivesFieldsOfTheWrongType) {
    test::TempDir dir;
    const fs::path run = test::write_fake_run(dir.path());
    std::ofstream(run / "manifest.json")
        << R"({"data":[1],"tokenizer":"x","warnings":{"a":1},"parameters":{"total":"many"},"parents":[3,{"kind":4}],)"
           R"("attempts":[1,{"budgets":2},{"from_step":{},"changed_symbols":[5,{"name":6}],"replaced_data":{},"budgets":3}]})";
    std::ofstream(run / "status.json") << R"({"state":7})";
    append(run / "metrics.jsonl",
           "[1]\n{\"event\":5}\n{\"event\":\"train\",\"step\":\"x\",\"loss\":{}}\n{\"event\":"
           "\"eval\",\"step\":1e300}\n");
    EXPECT_TRUE(has(page_of(run), "2.073"));
}

TEST(Page, ShowsTheBeginningOfAVeryLongSample) {
    test::TempDir dir;
    std::string text;
    while (text.size() < 3000000) text += "naïve kernel ";
    const std::string page = page_of(test::write_fake_run(dir.path(), {.sample = text}));
    EXPECT_LT(page.size(), 100000u);
    EXPECT_TRUE(has(page, "samples.txt has all of it"));
}

TEST(Report, AnInterruptedRunGotAsFarAsItsCheckpoint) {
    test::TempDir dir;
    const fs::path run =
        test::write_fake_run(dir.path(), {.eval_every = 10000, .state = "preempted"});
    EXPECT_EQ(run_figures(run)["steps"], 591);  // the last line of the log is step 590, from 0
    fs::create_directories(run / "checkpoints/step-00000597");
    std::ofstream(run / "checkpoints/step-00000597/state.json")
        << R"({"step":597,"tokens_seen":1222656})";
    EXPECT_EQ(run_figures(run)["steps"], 597);
    EXPECT_EQ(run_figures(run)["tokens"], 1222656);
}

TEST(Report, RefusesADirectoryThatIsNoRun) {
    test::TempDir dir;
    test::expect_error(kData, {dir.path().string(), "not a run directory"},
                       [&] { write_report(dir.path()); });
    EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(TextSummary, HoldsOneFigureALine) {
    test::TempDir dir;
    const std::string text = text_summary(test::write_fake_run(dir.path()));
    EXPECT_THAT(text, HasSubstr("val loss    2.0735 ± 0.060 nats/byte at step 600\n"));
    EXPECT_THAT(text, HasSubstr("tokens      1,228,800\n"));
    EXPECT_THAT(text, HasSubstr("time        3 min 42 s\n"));
}

}  // namespace knlp::report
