// `knlp data` as a user runs it: statuses, texts, JSON, and nothing left behind.
#include "tests/data/trees.h"
#include "tests/support/public_data.h"
#include "tests/support/run_binary.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

class DataVerb : public testing::Test {
protected:
    void SetUp() override {
        if (!fs::exists(test::knlp_binary()))
            GTEST_SKIP() << "no knlp binary at " << test::knlp_binary();
        test::write_text(dir_.file("a.txt"),
                         "the cat sat on the mat and that was that, said the cat\n");
    }
    /// `knlp data` with these words, in the test's directory.
    test::Finished data(const std::string& words) const {
        return test::run_shell("\"$KNLP\" data " + words, dir_.path());
    }
    void expect_failure(const std::string& words, int status,
                        const std::vector<std::string>& parts) const {
        const test::Finished done = data(words);
        EXPECT_EQ(done.status, status) << words << "\n" << done.err;
        EXPECT_THAT(done.err, StartsWith("knlp: error[")) << words;
        EXPECT_EQ(std::count(done.err.begin(), done.err.end(), '\n'), 1) << done.err;
        for (const std::string& part : parts) EXPECT_THAT(done.err, HasSubstr(part)) << words;
        EXPECT_TRUE(test::hidden_names(dir_.path()).empty());
    }
    test::TempDir dir_;
};

TEST_F(DataVerb, PrepareCheckStatsListAndHashGoTogether) {
    ASSERT_EQ(
        data("prepare --text a.txt --tokenizer char --val-fraction 0.2 --out data/cats").status, 0);
    EXPECT_THAT(data("check cats").out, HasSubstr("ok  hashes"));
    EXPECT_THAT(data("stats cats").out, HasSubstr("training"));
    EXPECT_THAT(data("list").out, HasSubstr("data/cats"));
    const test::Finished hash = data("hash cats");
    const test::Finished sums =
        test::run_shell("sha256sum data/cats/train.bin data/cats/val.bin", dir_.path());
    EXPECT_THAT(hash.out, StartsWith(sums.out));
}

TEST_F(DataVerb, JsonOfEveryReportParses) {
    for (const char* words :
         {"prepare --text a.txt --out data/cats --json", "check cats --json", "stats cats --json",
          "list --json", "hash cats --json", "synth --tokens 1000 --json",
          "train-bpe --text a.txt --vocab 262 --out tok --json", "encode a.txt --json"}) {
        const test::Finished done = data(words);
        ASSERT_EQ(done.status, 0) << words << done.err;
        EXPECT_FALSE(nlohmann::json::parse(done.out, nullptr, false).is_discarded())
            << words << done.out;
        EXPECT_EQ(std::count(done.out.begin(), done.out.end(), '\n'), 1) << words;
    }
}

TEST_F(DataVerb, EncodeAndDecodeAreEachOthersInverse) {
    ASSERT_EQ(data("train-bpe --text a.txt --vocab 270 --out tok").status, 0);
    for (const std::string form : {"", "--json | sed 's/.*\\[/[/; s/\\].*/]/'"})
        EXPECT_EQ(data("encode --tokenizer tok a.txt " + form +
                       " | \"$KNLP\" data decode --tokenizer tok")
                      .out,
                  read_file(dir_.file("a.txt")));
    ASSERT_EQ(data("encode --tokenizer tok a.txt --out ids.bin").status, 0);
    EXPECT_EQ(data("decode --tokenizer tok ids.bin").out, read_file(dir_.file("a.txt")));
}

TEST_F(DataVerb, EncodeAndDecodeAgreeOnTheWidthOfAToken) {
    // 70,000 characters, so ids above 65,535: uint32 in the file.
    std::string many;
    for (uint32_t c = 0x10000; c < 0x10000 + 70000; ++c)
        for (const int shift : {18, 12, 6, 0})
            many += static_cast<char>(shift == 18 ? 0xf0 | (c >> 18) : 0x80 | ((c >> shift) & 63));
    test::write_text(dir_.file("many.txt"), many);
    ASSERT_EQ(data("prepare --text many.txt --tokenizer char --out data/many").status, 0);
    ASSERT_EQ(data("encode --tokenizer many many.txt --out ids.bin").status, 0);
    EXPECT_EQ(fs::file_size(dir_.file("ids.bin")), 4u * 70000);
    EXPECT_EQ(data("decode --tokenizer many ids.bin").out, many);
}

TEST_F(DataVerb, OneTokenAndNoneDecode) {
    for (const std::string text : {"A", ""}) {
        test::write_text(dir_.file("short.txt"), text);
        ASSERT_EQ(data("encode short.txt --out ids.bin").status, 0);
        const test::Finished done = data("decode ids.bin");
        EXPECT_EQ(done.status, 0) << done.err;
        EXPECT_EQ(done.out, text);
    }
    test::write_text(dir_.file("ids.bin"), std::string("\x01\x05", 2));
    expect_failure("decode ids.bin", 3, {"ids.bin", "token 1281 at position 0", "257"});
}

TEST_F(DataVerb, EncodeReadsStandardInput) {
    EXPECT_EQ(test::run_shell("printf 'A\\377' | \"$KNLP\" data encode", dir_.path()).out,
              "65 255\n");
    EXPECT_EQ(
        test::run_shell("printf 'A<|endoftext|>' | \"$KNLP\" data encode --special", dir_.path())
            .out,
        "65 256\n");
}

TEST_F(DataVerb, BytesThatAreNoTextDecodeToBase64InJson) {
    const test::Finished done =
        test::run_shell("echo 72 255 | \"$KNLP\" data decode --json", dir_.path());
    EXPECT_EQ(done.out, "{\"base64\":\"SP8=\"}\n");
}

TEST_F(DataVerb, ShakespeareImportsWithThePublishedCounts) {
    KNLP_NEEDS_PUBLIC_DATA();
    const test::Finished done =
        data("import --name shakespeare --tokenizer gpt2 --tokenizer-files " +
             (test::public_data() / "gpt2.tiktoken").string() + " --json " +
             (test::public_data() / "tinyshakespeare.txt").string());
    ASSERT_EQ(done.status, 0) << done.err;
    const nlohmann::json meta = nlohmann::json::parse(done.out);
    EXPECT_EQ(meta.at("n_tokens").at("train"), 301966);
    EXPECT_EQ(meta.at("n_tokens").at("val"), 36059);
    EXPECT_EQ(meta.at("directory"), "data/shakespeare-gpt2");
}

TEST_F(DataVerb, SynthPrintsTheEntropyRate) {
    EXPECT_THAT(data("synth --kind arith --tokens 1000 --seed 4").out,
                HasSubstr("entropy rate: 0.921034 nats"));
    EXPECT_TRUE(fs::exists(dir_.file("data/synthetic-arith/meta.json")));
}

TEST_F(DataVerb, WhatIsThereIsNotReplacedWithoutForce) {
    ASSERT_EQ(data("synth --tokens 1000 --seed 1").status, 0);
    expect_failure("synth --tokens 1000 --seed 2", 2, {"data/synthetic-markov", "--force"});
    EXPECT_EQ(data("synth --tokens 1000 --seed 2 --force").status, 0);
}

TEST_F(DataVerb, LinuxdocThatIsThereIsNotTakenForAnotherOne) {
    test::write_text(dir_.file("tree/Documentation/a.rst"), "The first page of the manual.\n");
    for (int i = 0; i < 40; ++i)
        test::write_text(dir_.file("tree/Documentation/p" + std::to_string(i) + ".rst"), "page\n");
    ASSERT_EQ(data("linuxdoc --src tree").status, 0);
    EXPECT_EQ(data("linuxdoc").status, 0);
    EXPECT_EQ(data("linuxdoc --tokenizer byte").status, 0);
    expect_failure("linuxdoc --src /nowhere", 2, {"linuxdoc-byte", "--src", "--force", "--out"});
    expect_failure("linuxdoc --with-translations", 2, {"--with-translations"});
    expect_failure("linuxdoc --tokenizer char --out data/linuxdoc-byte", 2,
                   {"byte tokens", "--tokenizer"});
    EXPECT_EQ(data("linuxdoc --src tree --force").status, 0);
}

TEST_F(DataVerb, ReportsGoToTheFileThatOutNames) {
    ASSERT_EQ(data("prepare --text a.txt --out data/cats").status, 0);
    for (const char* words : {"list", "check cats", "stats cats --json", "hash cats"}) {
        const test::Finished printed = data(words);
        const test::Finished filed = data(std::string(words) + " --out report.txt");
        EXPECT_EQ(filed.status, 0) << words << filed.err;
        EXPECT_EQ(filed.out, "") << words;
        EXPECT_EQ(read_file(dir_.file("report.txt")), printed.out) << words;
        fs::remove(dir_.file("report.txt"));
    }
    expect_failure("check nothing --out report.txt", 3, {"nothing"});
    EXPECT_FALSE(fs::exists(dir_.file("report.txt")));
}

TEST_F(DataVerb, TooLittleTextIsToldWithoutOptionsOfOtherVerbs) {
    test::write_text(dir_.file("short.txt"), "ab");
    const test::Finished done = data("prepare --text short.txt --out d");
    EXPECT_EQ(done.status, 3);
    EXPECT_THAT(done.err, HasSubstr("use more text"));
    EXPECT_THAT(done.err, testing::Not(HasSubstr("--val-fraction")));
}

TEST_F(DataVerb, DryRunChangesNothing) {
    EXPECT_EQ(data("import --name x a.txt --dry-run").status, 0);
    EXPECT_EQ(data("synth --dry-run").status, 0);
    EXPECT_EQ(data("train-bpe --text a.txt --out tok --dry-run").status, 0);
    EXPECT_FALSE(fs::exists(dir_.file("data")));
    EXPECT_FALSE(fs::exists(dir_.file("tok")));
}

TEST_F(DataVerb, WrongUseIsStatus2) {
    expect_failure("", 2, {"subcommand"});
    expect_failure("linuxdok", 2, {"linuxdok", "linuxdoc"});
    expect_failure("import a.txt", 2, {"--name"});
    expect_failure("import --name ../x a.txt", 2, {"--name '../x'"});
    expect_failure("prepare --text a.txt", 2, {"--out DIR"});
    expect_failure("prepare --text a.txt --out d --val-fraction 2", 2, {"validation fraction 2"});
    expect_failure("linuxdoc --src a --deb b", 2, {"--src", "--deb"});
}

TEST_F(DataVerb, BadInputIsStatus3WithFileAndPlace) {
    test::write_text(dir_.file("odd.bin"), "12345");
    test::write_text(dir_.file("bad.jsonl"), "{\"text\":1}\n");
    test::write_text(dir_.file("not.deb"), "no package");
    test::write_text(dir_.file("empty/.keep"), "");
    expect_failure("prepare --text absent.txt --out d", 3, {"absent.txt"});
    expect_failure("import --name x --format tokens odd.bin", 3, {"odd.bin", "5 bytes"});
    expect_failure("import --name x --format jsonl bad.jsonl", 3, {"bad.jsonl:1", "\"text\""});
    expect_failure("linuxdoc --deb not.deb 2>&1 >&2 | grep knlp: >&2; exit 3", 3,
                   {"not.deb", "dpkg-deb"});
    expect_failure("check nothing", 3, {"nothing", "knlp data list"});
    expect_failure("encode --tokenizer empty a.txt", 3, {"tokenizer.json"});
    EXPECT_EQ(test::run_shell("echo 72 word | \"$KNLP\" data decode", dir_.path()).status, 3);
    EXPECT_EQ(test::run_shell("echo 300 | \"$KNLP\" data decode", dir_.path()).status, 3);
    EXPECT_FALSE(fs::exists(dir_.file("d")));
    EXPECT_FALSE(fs::exists(dir_.file("data")));
}

TEST_F(DataVerb, DamageIsFoundByCheck) {
    ASSERT_EQ(data("prepare --text a.txt --out data/cats").status, 0);
    std::string bytes = read_file(dir_.file("data/cats/train.bin"));
    bytes[4] = 'X';
    write_file_atomic(dir_.file("data/cats/train.bin"), bytes);
    expect_failure("check cats", 3, {"data/cats/train.bin", "SHA-256"});
    bytes[5] = 2;  // token 600
    write_file_atomic(dir_.file("data/cats/train.bin"), bytes);
    expect_failure("check cats", 3,
                   {"data/cats/train.bin: token 600 at position 2 is outside vocabulary 257"});
}

TEST_F(DataVerb, FullDiskIsStatus4AndLeavesNothing) {
    // A limit on file sizes fails writes as a full disk does, without mounting one.
    const test::Finished done = test::run_shell(
        "ulimit -f 8; trap '' XFSZ; \"$KNLP\" data synth --tokens 100000", dir_.path());
    EXPECT_EQ(done.status, 4) << done.err;
    EXPECT_THAT(done.err, HasSubstr("error[E_IO]"));
    EXPECT_FALSE(fs::exists(dir_.file("data")));
}

TEST_F(DataVerb, InterruptLeavesNothing) {
    // The text comes through a pipe that stays open, so the program is surely at work when the
    // signal arrives.
    const test::Finished done = test::run_shell(
        "mkfifo pipe; sleep 60 >pipe & writer=$!; \"$KNLP\" data encode --out ids.bin <pipe & "
        "reader=$!; until grep -q '^SigCgt:.*[2367abef]$' /proc/$reader/status && [ \"$(readlink "
        "/proc/$reader/exe)\" -ef \"$KNLP\" ]; do :; done; kill -INT $reader; wait $reader; "
        "status=$?; kill $writer; exit $status",
        dir_.path());
    EXPECT_EQ(done.status, 130) << done.err;
    EXPECT_FALSE(fs::exists(dir_.file("ids.bin")));
}

TEST_F(DataVerb, ClosedPipeEndsQuietly) {
    test::write_text(dir_.file("big.txt"), std::string(3000000, 'x'));
    const test::Finished done = test::run_shell(
        "\"$KNLP\" data encode big.txt | head -c 10; exit ${PIPESTATUS[0]}", dir_.path());
    EXPECT_EQ(done.out.size(), 10u);
    EXPECT_EQ(done.err, "");
}

TEST_F(DataVerb, HelpShowsExamples) {
    const test::Finished done = data("--help");
    EXPECT_EQ(done.status, 0);
    EXPECT_THAT(done.out, HasSubstr("knlp data linuxdoc --tokenizer bpe"));
    for (const char* verb : {"linuxdoc", "import", "prepare", "train-bpe", "encode", "decode",
                             "synth", "stats", "check", "list", "hash"})
        EXPECT_THAT(done.out, HasSubstr(verb));
}

}  // namespace
}  // namespace knlp
