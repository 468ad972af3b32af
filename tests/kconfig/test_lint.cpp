// The lint of the tree: a copy with one fault of each kind gets one finding for each.
#include "tests/kconfig/tools.h"

#include <string>
#include <vector>

namespace knlp::test {
namespace {

using testing::HasSubstr;

/// A copy of what the two lints read.
class TreeCopy {
public:
    TreeCopy() {
        namespace fs = std::filesystem;
        for (const char* name :
             {"Kconfig", "Makefile", "defconfigs", "docs", "include", "kernels", "scripts", "src"})
            fs::copy(source_tree() / name, directory_.file(name), fs::copy_options::recursive);
    }
    void append(const std::string& name, const std::string& text) const {
        const std::filesystem::path path = directory_.file(name);
        write_text(path, read_text(path) + text);
    }
    Finished run(const std::string& script) const {
        return run_program(
            {"/usr/bin/python3", "-B", directory_.file("scripts/" + script).string()},
            {{"KNLP_HAVE_CUDA", "n"}}, directory_.path());
    }

private:
    TempDir directory_;
};

std::string help() {
    return "\thelp\n\t  What it does. Typical values.\n";
}

TEST(KconfigLint, FindsEveryFaultInTheKconfigFiles) {
    const TreeCopy tree;
    tree.append("src/track/Kconfig",
                "config SHORT_HELP\n\tbool \"x\"\n\thelp\n\t  One sentence only.\n"
                "config NO_RANGE\n\tint \"x\"\n\tdefault 1\n" +
                    help() + "config NEEDS_NOBODY\n\tbool \"x\"\n\tdepends on NOT_THERE\n" +
                    help() + "config SELECTS\n\tbool \"x\"\n\tselect SPAM_ZSCORE\n" + help() +
                    "config NO_TYPE\n\tstring \"x\"\n\tdefault \"\"\n" + help() +
                    "config ODD_TYPE\n\tstring \"x\"\n\tdefault \"\"\n" + help() +
                    "\t  Type: colour\n"
                    "config BAD_DEFAULT\n\tstring \"x\"\n\tdefault \"5\"\n" +
                    help() +
                    "\t  Type: float[0,1]\n"
                    "config BUILT\n\tbool \"x\"\n\tdepends on SANITY_OVERFIT\n" +
                    help());
    tree.append("src/model/attn/Kconfig", "# sourced by nobody\n");
    tree.append("scripts/kconfig/buildtime.list", "BUILT\nNO_SUCH_SYMBOL\n");
    const Finished result = tree.run("check-kconfig");
    EXPECT_EQ(result.status, 1);
    for (const char* text :
         {"SHORT_HELP needs help of two sentences",
          "SHORT_HELP is read by no src/config/read_*.cpp and no makefile",
          "NO_RANGE needs a range and a default",
          "NOT_THERE is used by NEEDS_NOBODY but defined nowhere",
          "SELECTS selects SPAM_ZSCORE, which has dependencies", "NO_TYPE needs a line Type:",
          "ODD_TYPE: Type: colour is not known", "BAD_DEFAULT: default \"5\" is not float[0,1]",
          "BUILT is a build symbol but depends on SANITY_OVERFIT",
          "src/model/attn/Kconfig: sourced 0 times", "buildtime.list: NO_SUCH_SYMBOL is no symbol",
          "docs/config-reference.md: not up to date"})
        EXPECT_THAT(result.err, HasSubstr(text));
}

TEST(KconfigLint, FindsASymbolDefinedTwice) {
    const TreeCopy tree;
    tree.append("src/track/Kconfig",
                "config SEED\n\tint \"x\"\n\trange 0 1\n\tdefault 1\n" + help());
    const Finished result = tree.run("check-kconfig");
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.err, HasSubstr("SEED is defined more than once: src/app/Kconfig:"));
}

TEST(KconfigLint, FindsEveryFaultInSourcesPresetsAndTables) {
    const TreeCopy tree;
    tree.append("src/config/read_data.cpp", "bool x = symbols.on(\"NO_SUCH_SYMBOL\");\n");
    tree.append("src/core/error.cpp", "#ifdef CONFIG_SEED\n#endif\n");
    tree.append("src/core/Build.mk", "list-$(CONFIG_NO_SUCH_OBJECT) += x.o\n");
    tree.append("defconfigs/wrong", "# has a wrong line\nCONFIG_SEEED=1\n");
    tree.append("defconfigs/verbose", "# states a default\nCONFIG_SEED=1\n");
    tree.append("defconfigs/nameless", "CONFIG_SEED=2\n");
    tree.append("defconfigs/renamed", "# has an old name\nCONFIG_RA_SEED=2\n");
    tree.append("defconfigs/RETIRED", "smoke-gpt2\tis here\tnowhere\n");
    tree.append("scripts/kconfig/aliases",
                "rename OLD_NAME NOT_A_NEW_NAME\nignored SEED hidden by the tree\n");
    const Finished result = tree.run("check-kconfig");
    EXPECT_EQ(result.status, 1);
    for (const char* text :
         {"\"NO_SUCH_SYMBOL\" is no symbol", "CONFIG_SEED is not on scripts/kconfig/buildtime.list",
          "CONFIG_NO_SUCH_OBJECT is no symbol", "defconfigs/wrong:2: CONFIG_SEEED is not a symbol",
          "defconfigs/verbose: not as savedefconfig writes it",
          "defconfigs/nameless:1: the first line must say", "defconfigs/renamed: loads with a note",
          "RETIRED: smoke-gpt2 is a preset as well", "nearest preset 'nowhere' does not exist",
          "NOT_A_NEW_NAME is neither a symbol nor the name of another row",
          "SEED is a symbol of the tree, so this row is never used"})
        EXPECT_THAT(result.err, HasSubstr(text));
}

TEST(KconfigLint, FindsPagesThatAPresetOrAliasHasLeftBehind) {
    const TreeCopy tree;
    tree.append("defconfigs/another", "# a preset the page does not have\nCONFIG_SEED=2\n");
    tree.append("scripts/kconfig/aliases", "ignored NEW_NAME_OF_OLD no longer of use\n");
    const Finished result = tree.run("check-kconfig");
    EXPECT_EQ(result.status, 1);
    for (const char* page : {"defconfigs", "porting-from-upstream"})
        EXPECT_THAT(result.err, HasSubstr(std::string("docs/") + page +
                                          ".md: not up to date; run make docs-config"));
}

TEST(LayerLint, FindsEveryKindOfForbiddenInclude) {
    const TreeCopy tree;
    tree.append("src/data/bad.cpp", "#include \"knlp/model/gpt2.h\"\n#include <ATen/ATen.h>\n");
    tree.append("src/core/bad.cpp",
                "#include \"src/config/expr.h\"\nconst char* name = \"GPT2_MAX_ITERS\";\n"
                "// \"GPT2_BIAS\" in a comment is text\n#if CONFIG_LTO\n#endif\n");
    tree.append("src/model/bad.cpp", "#include <torch/torch.h>\n");
    tree.append("src/train/bad.cpp", "#include <ATen/Tensor.h>\n");
    tree.append("include/knlp/train/bad.h", "#include <ATen/Tensor.h>\n");
    tree.append("src/stray/bad.cpp", "#include <vector>\n");
    const Finished result = tree.run("check-layers");
    EXPECT_EQ(result.status, 1);
    for (const char* text :
         {"src/data/bad.cpp:1: includes knlp/model/gpt2.h, but model lies above data",
          "src/data/bad.cpp:2: includes ATen/ATen.h, but no LibTorch header may appear here",
          "src/core/bad.cpp:1: includes src/config/expr.h, but core and config are on one line",
          "src/core/bad.cpp:2: names the symbol GPT2_MAX_ITERS",
          "src/core/bad.cpp:4: uses CONFIG_LTO",
          "src/model/bad.cpp:1: includes torch/torch.h, but torch/torch.h costs",
          "src/train/bad.cpp:1: includes ATen/Tensor.h, but Build.mk does not list it in torch-y",
          "include/knlp/train/bad.h:1: includes ATen/Tensor.h, but no LibTorch header",
          "folder stray is not in scripts/layers.list"})
        EXPECT_THAT(result.err, HasSubstr(text));
    EXPECT_THAT(result.err, testing::Not(HasSubstr("GPT2_BIAS")));
}

TEST(LayerLint, CountsTheObjectsThatSeeLibTorch) {
    const TreeCopy tree;
    const Finished before = tree.run("check-layers");
    EXPECT_EQ(before.status, 0) << before.err;
    EXPECT_THAT(before.out, testing::ContainsRegex("[12][0-9] objects that see LibTorch"));
    std::string objects;
    for (int i = 0; i < 10; ++i) objects += " more_" + std::to_string(i) + ".o";
    tree.append("src/train/Build.mk", "torch-y += \\\n" + objects + "\n");
    const Finished after = tree.run("check-layers");
    EXPECT_EQ(after.status, 1);
    EXPECT_THAT(after.err, testing::ContainsRegex(
                               "3[0-9] objects of the binary see LibTorch; fewer than 30 may"));
}

}  // namespace
}  // namespace knlp::test
