#include "knlp/core/file.h"
#include "knlp/core/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/public_data.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <random>

namespace knlp {
namespace {

using test::TempDir;

/// Owns the bytes of tensors to write.
struct Sample {
    std::vector<TensorToWrite> tensors;
    std::vector<std::vector<std::byte>> storage;

    void add(const std::string& name, Dtype dtype, std::vector<int64_t> shape, unsigned seed) {
        int64_t bytes = size_of(dtype);
        for (const int64_t d : shape) bytes *= d;
        std::mt19937 random(seed);
        std::vector<std::byte> data(static_cast<size_t>(bytes));
        for (std::byte& b : data) b = static_cast<std::byte>(random());
        storage.push_back(std::move(data));
        const size_t index = storage.size() - 1;
        tensors.push_back({name, dtype, std::move(shape),
                           [this, index] { return std::span<const std::byte>(storage[index]); }});
    }
};

constexpr std::array<Dtype, 15> kAllDtypes = {
    Dtype::kBool, Dtype::kU8,   Dtype::kI8,  Dtype::kI16,    Dtype::kU16,
    Dtype::kF16,  Dtype::kBf16, Dtype::kI32, Dtype::kU32,    Dtype::kF32,
    Dtype::kF64,  Dtype::kI64,  Dtype::kU64, Dtype::kF8E5M2, Dtype::kF8E4M3};

void fill_with_all_types(Sample& sample) {
    unsigned seed = 1;
    for (const Dtype dtype : kAllDtypes) {
        sample.add("m." + std::string(name_of(dtype)), dtype, {3, 5}, seed++);
        sample.add("s." + std::string(name_of(dtype)), dtype, {}, seed++);
        sample.add("e." + std::string(name_of(dtype)), dtype, {2, 0, 4}, seed++);
    }
}

TEST(Safetensors, EveryTypeComesBackBitForBit) {
    const TempDir dir;
    Sample sample;
    fill_with_all_types(sample);
    const std::map<std::string, std::string> metadata = {{"format", "pt"},
                                                         {"quote\"", "line\nend ü"}};
    const int64_t bytes = write_safetensors(dir.file("a.safetensors"), sample.tensors, metadata);
    EXPECT_EQ(bytes, std::ssize(read_file(dir.file("a.safetensors"))));

    const SafetensorsFile file(dir.file("a.safetensors"));
    EXPECT_EQ(file.metadata(), metadata);
    ASSERT_EQ(file.tensors().size(), sample.tensors.size());
    for (size_t i = 0; i < sample.tensors.size(); ++i) {
        const TensorView* view = file.find(sample.tensors[i].name);
        ASSERT_NE(view, nullptr) << sample.tensors[i].name;
        EXPECT_EQ(view->dtype, sample.tensors[i].dtype);
        EXPECT_EQ(view->shape, sample.tensors[i].shape);
        EXPECT_TRUE(std::equal(view->bytes.begin(), view->bytes.end(), sample.storage[i].begin(),
                               sample.storage[i].end()));
    }
    EXPECT_EQ(file.find("none"), nullptr);
    EXPECT_EQ(file.find(""), nullptr);
}

TEST(Safetensors, TensorsLieBySizeThenNameFromAnAlignedStart) {
    const TempDir dir;
    Sample sample;
    sample.add("b", Dtype::kF16, {3}, 1);
    sample.add("z", Dtype::kF64, {1}, 2);
    sample.add("a", Dtype::kF32, {2}, 3);
    sample.add("c", Dtype::kBf16, {1}, 4);
    sample.add("B", Dtype::kF32, {1}, 5);
    write_safetensors(dir.file("a"), sample.tensors, {});
    const SafetensorsFile file(dir.file("a"));
    std::string order;
    for (const TensorView& view : file.tensors()) order += view.name;
    EXPECT_EQ(order, "zBabc");
    EXPECT_EQ(file.tensors()[0].file_offset % 64, 0);
    for (const TensorView& view : file.tensors())
        EXPECT_EQ(view.file_offset % size_of(view.dtype), 0);
}

TEST(Safetensors, TheOrderGivenDoesNotChangeTheBytes) {
    const TempDir dir;
    Sample sample;
    fill_with_all_types(sample);
    write_safetensors(dir.file("a"), sample.tensors, {{"k", "v"}});
    std::reverse(sample.tensors.begin(), sample.tensors.end());
    write_safetensors(dir.file("b"), sample.tensors, {{"k", "v"}});
    EXPECT_EQ(read_file(dir.file("a")), read_file(dir.file("b")));
}

TEST(Safetensors, LoadThenSaveGivesTheSameFile) {
    const TempDir dir;
    Sample sample;
    fill_with_all_types(sample);
    write_safetensors(dir.file("a"), sample.tensors, {{"k", "v"}});
    const SafetensorsFile file(dir.file("a"));
    std::vector<TensorToWrite> again;
    for (const TensorView& view : file.tensors())
        again.push_back({view.name, view.dtype, view.shape, [&view] { return view.bytes; }});
    write_safetensors(dir.file("b"), again, file.metadata());
    EXPECT_EQ(read_file(dir.file("a")), read_file(dir.file("b")));
}

TEST(Safetensors, NoTensorsAtAllIsAFileToo) {
    const TempDir dir;
    write_safetensors(dir.file("a"), {}, {});
    EXPECT_TRUE(SafetensorsFile(dir.file("a")).tensors().empty());
}

TEST(Safetensors, NamesOutsideUtf8AreRefusedAndNothingIsWritten) {
    const TempDir dir;
    Sample sample;
    sample.add("bad\xff", Dtype::kU8, {1}, 1);
    test::expect_error(kData, {"UTF-8"},
                       [&] { write_safetensors(dir.file("a"), sample.tensors, {}); });
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Safetensors, AHundredThousandTensorsLoad) {
    const TempDir dir;
    Sample sample;
    for (int i = 0; i < 100000; ++i) sample.add("t" + std::to_string(i), Dtype::kU8, {1}, 1);
    write_safetensors(dir.file("a"), sample.tensors, {});
    EXPECT_EQ(SafetensorsFile(dir.file("a")).tensors().size(), 100000u);
}

constexpr const char* kPythonWrites = R"(
import sys, numpy as np
from safetensors.numpy import save_file
rng = np.random.default_rng(1)
types = [np.float32, np.float64, np.float16]
t = {"f%d" % i: rng.standard_normal((i, 3)).astype(d) for i, d in enumerate(types)}
t["i"] = np.arange(-4, 5, dtype=np.int64)
t["u"] = np.arange(7, dtype=np.uint8)
t["b"] = np.array([True, False])
save_file(t, sys.argv[1], metadata={"format": "pt", "who": "py"})
)";

constexpr const char* kPythonCopies = R"(
import sys
from safetensors import safe_open
from safetensors.torch import save_file
with safe_open(sys.argv[1], framework="pt") as f:
    save_file({k: f.get_tensor(k) for k in f.keys()}, sys.argv[2], metadata=f.metadata())
)";

/// Same names, types, shapes and bytes.
void expect_equal_content(const SafetensorsFile& a, const SafetensorsFile& b) {
    ASSERT_EQ(a.tensors().size(), b.tensors().size());
    for (const TensorView& view : a.tensors()) {
        const TensorView* other = b.find(view.name);
        ASSERT_NE(other, nullptr) << view.name;
        EXPECT_EQ(view.dtype, other->dtype) << view.name;
        EXPECT_EQ(view.shape, other->shape) << view.name;
        EXPECT_TRUE(std::equal(view.bytes.begin(), view.bytes.end(), other->bytes.begin(),
                               other->bytes.end()))
            << view.name;
    }
    EXPECT_EQ(a.metadata(), b.metadata());
}

TEST(SafetensorsPeer, FilesOfThePythonPackageLoadAndSurviveOurRewriting) {
    KNLP_NEEDS_PEERS();
    const TempDir dir;
    const std::string python = test::peers_python();
    const test::Finished wrote =
        test::run_program({python, "-c", kPythonWrites, dir.file("py").string()});
    ASSERT_EQ(wrote.status, 0) << wrote.err;
    const SafetensorsFile theirs(dir.file("py"));
    ASSERT_EQ(theirs.tensors().size(), 6u);
    EXPECT_EQ(theirs.metadata().at("who"), "py");
    const TensorView* i = theirs.find("i");
    ASSERT_NE(i, nullptr);
    EXPECT_EQ(reinterpret_cast<const int64_t*>(i->bytes.data())[0], -4);

    std::vector<TensorToWrite> again;
    for (const TensorView& view : theirs.tensors())
        again.push_back({view.name, view.dtype, view.shape, [&view] { return view.bytes; }});
    write_safetensors(dir.file("ours"), again, theirs.metadata());
    const test::Finished copied = test::run_program(
        {python, "-c", kPythonCopies, dir.file("ours").string(), dir.file("copy").string()});
    ASSERT_EQ(copied.status, 0) << copied.err;
    expect_equal_content(theirs, SafetensorsFile(dir.file("copy")));
}

TEST(SafetensorsPeer, ThePythonPackageReadsEveryTypeWeWrite) {
    KNLP_NEEDS_PEERS();
    const TempDir dir;
    Sample sample;
    unsigned seed = 1;
    for (const Dtype dtype : kAllDtypes) {
        // PyTorch's bool holds 0 and 1 only, so random bytes would not come back.
        if (dtype == Dtype::kBool) continue;
        sample.add("m." + std::string(name_of(dtype)), dtype, {3, 5}, seed++);
        sample.add("s." + std::string(name_of(dtype)), dtype, {}, seed++);
        sample.add("e." + std::string(name_of(dtype)), dtype, {2, 0}, seed++);
    }
    write_safetensors(dir.file("ours"), sample.tensors, {{"format", "pt"}});
    const test::Finished copied =
        test::run_program({test::peers_python(), "-c", kPythonCopies, dir.file("ours").string(),
                           dir.file("copy").string()});
    ASSERT_EQ(copied.status, 0) << copied.err;
    expect_equal_content(SafetensorsFile(dir.file("ours")), SafetensorsFile(dir.file("copy")));
}

}  // namespace
}  // namespace knlp
