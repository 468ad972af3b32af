#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "tests/support/expect_error.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <dlfcn.h>
#include <openssl/evp.h>

#include <numeric>
#include <random>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::TempDir;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

TEST(Sha256, MatchesTheVectorsOfFips180) {
    EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(sha256_hex("abc"),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, PiecesGiveTheHashOfTheWhole) {
    const std::string text(1000, 'q');
    Sha256 hash;
    for (size_t i = 0; i < text.size(); i += 37) hash.update(text.substr(i, 37));
    EXPECT_EQ(hash.hex(), sha256_hex(text));
}

TEST(Sha256File, EqualsTheTextAndSha256sum) {
    const TempDir dir;
    const std::string text(3 << 20, 'z');
    write_file_atomic(dir.file("a"), text);
    EXPECT_EQ(sha256_file(dir.file("a")), sha256_hex(text));
    const test::Finished peer = test::run_program({"sha256sum", dir.file("a").string()});
    EXPECT_EQ(sha256_file(dir.file("a")), peer.out.substr(0, 64));
    expect_error(kData, {"none"}, [&] { sha256_file(dir.file("none")); });
}

TEST(Sha256File, AChangedFileHasItsNewHash) {
    const TempDir dir;
    write_file_atomic(dir.file("a"), std::string(2 << 20, 'a'));
    EXPECT_EQ(sha256_file(dir.file("a")), sha256_hex(std::string(2 << 20, 'a')));
    write_file_atomic(dir.file("a"), std::string(2 << 20, 'b'));
    EXPECT_EQ(sha256_file(dir.file("a")), sha256_hex(std::string(2 << 20, 'b')));
}

/// A file of several MB that was not changed a moment ago: the library that computes SHA-256.
fs::path old_large_file() {
    Dl_info info{};
    if (::dladdr(reinterpret_cast<void*>(&EVP_sha256), &info) == 0 || info.dli_fname == nullptr)
        return {};
    return fs::canonical(info.dli_fname);
}

/// XDG_CACHE_HOME for the time of a test.
struct CacheHome {
    explicit CacheHome(const fs::path& path) { ::setenv("XDG_CACHE_HOME", path.c_str(), 1); }
    ~CacheHome() {
        was.empty() ? ::unsetenv("XDG_CACHE_HOME") : ::setenv("XDG_CACHE_HOME", was.c_str(), 1);
    }
    std::string was = ::getenv("XDG_CACHE_HOME") != nullptr ? ::getenv("XDG_CACHE_HOME") : "";
};

TEST(Sha256File, ALargeFileIsRememberedAndADamagedMemoryIsNotBelieved) {
    const fs::path file = old_large_file();
    if (file.empty() || fs::file_size(file) < (1 << 20))
        GTEST_SKIP() << "no large library file found";
    const TempDir dir;
    const CacheHome cache(dir.path());
    const std::string hex = sha256_file(file);
    ASSERT_TRUE(fs::exists(dir.file("knlp") / "sha256"));
    const fs::path entry = fs::directory_iterator(dir.file("knlp") / "sha256")->path();

    // A planted hash comes back: the second call did not read the file.
    std::string text = read_file(entry);
    ASSERT_NE(text.find(hex), std::string::npos);
    text.replace(text.find(hex), 64, std::string(64, 'a'));
    write_file_atomic(entry, text);
    EXPECT_EQ(sha256_file(file), std::string(64, 'a'));

    for (const std::string& damaged : {std::string(), text.substr(0, text.size() - 2), "x" + text,
                                       std::string(text.size(), '\n')}) {
        write_file_atomic(entry, damaged);
        EXPECT_EQ(sha256_file(file), hex);
    }
}

TEST(Sha256File, AnUnusableCacheOnlyCostsTime) {
    const fs::path file = old_large_file();
    if (file.empty()) GTEST_SKIP() << "no large library file found";
    const TempDir dir;
    write_file_atomic(dir.file("knlp"), "a file where the directory should be");
    const CacheHome cache(dir.path());
    EXPECT_EQ(sha256_file(file).size(), 64u);
}

TEST(Xxh3, MatchesPublishedValues) {
    EXPECT_EQ(xxh3({}), 0x2d06800538d394c2u);  // XXH3_64bits of nothing, seed 0
    const TempDir dir;
    EXPECT_NE(xxh3(bytes_of("a")), xxh3(bytes_of("b")));
}

TEST(Fnv1a64, MatchesTheVectorsOfItsAuthors) {
    EXPECT_EQ(fnv1a64(""), 0xcbf29ce484222325u);
    EXPECT_EQ(fnv1a64("a"), 0xaf63dc4c8601ec8cu);
    EXPECT_EQ(fnv1a64("foobar"), 0x85944171f73967e8u);
}

TEST(Crc32c, MatchesTheVectorsOfRfc3720) {
    EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283u);
    EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8A9136AAu);
    EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xff'))), 0x62A8AB43u);
    std::string ascending(32, '\0');
    std::iota(ascending.begin(), ascending.end(), '\0');
    EXPECT_EQ(crc32c(bytes_of(ascending)), 0x46DD794Eu);
    EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, EveryLengthEqualsTheBitwiseDefinition) {
    std::mt19937 random(3);
    std::string text;
    for (int length = 0; length < 70; ++length) {
        uint32_t crc = ~0u;
        for (const char c : text) {
            crc ^= static_cast<unsigned char>(c);
            for (int bit = 0; bit < 8; ++bit)
                crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0x82F63B78u : 0u);
        }
        EXPECT_EQ(crc32c(bytes_of(text)), ~crc) << length;
        text += static_cast<char>(random());
    }
}

TEST(Base64, MatchesTheVectorsOfRfc4648) {
    const std::vector<std::pair<std::string, std::string>> table = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, coded] : table) {
        EXPECT_EQ(base64_encode(bytes_of(plain)), coded);
        EXPECT_EQ(base64_decode(coded), plain);
    }
}

TEST(Base64, RandomBytesComeBack) {
    std::mt19937 random(5);
    for (size_t length = 0; length < 200; ++length) {
        std::string text;
        for (size_t i = 0; i < length; ++i) text += static_cast<char>(random());
        EXPECT_EQ(base64_decode(base64_encode(bytes_of(text))), text);
    }
}

TEST(Base64, RefusesDamage) {
    for (const char* text : {"Z", "Zg=", "Zg", "Z===", "====", "Zg==Zg==", "Z!==", "Zm9v\n",
                             "=Zg=", "Zh==", "Zm9=", "Zg=a", "Zm 9"})
        expect_error(kData, {"base64"}, [&] { base64_decode(text); });
}

}  // namespace
}  // namespace knlp
