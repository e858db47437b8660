// Every target on its corpus, and on inputs near it: the same ones in every run.
#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <google/protobuf/stubs/logging.h>

#include "common/file.h"
#include "common/rng.h"
#include "tests/fuzz/targets.h"
#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::fuzz::TEST_FILE {

std::vector<std::string> CorpusOf(const std::string& target) {
  std::vector<std::filesystem::path> paths;
  const std::filesystem::path folder =
      std::filesystem::path(testing::SourcePath("tests/fuzz/corpus")) / target;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry);
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const auto& path : paths) corpus.push_back(ReadFile(path, 1 << 20).value());
  return corpus;
}

// A few edits: other bytes, bytes that went or came twice, the rest of another input.
std::string Mutated(const std::vector<std::string>& corpus, uint32_t number) {
  const RandomStream random{.seed = 1, .purpose = Purpose::kTest, .lifetime = number};
  uint32_t draw = 0;
  const auto below = [&](size_t n) {
    return static_cast<size_t>(random.Below(std::max<size_t>(n, 1), 0, draw++));
  };
  std::string bytes = corpus[below(corpus.size())];
  for (size_t edits = 1 + below(4); edits > 0; --edits) {
    const size_t at = below(bytes.size() + 1), count = below(bytes.size() - at + 1);
    switch (below(6)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 2:
        bytes.erase(at, below(8));
        break;
      case 3:
        bytes.insert(at, bytes.substr(at, std::min<size_t>(count, 64)));
        break;
      case 4:
        bytes.insert(at, std::string(1 + below(4), "\0\xff\"{}=:-. \n"[below(11)]));
        break;
      default: {
        const std::string& other = corpus[below(corpus.size())];
        bytes = bytes.substr(0, at) + other.substr(below(other.size() + 1));
      }
    }
  }
  return bytes;
}

TEST_CASE("targets answer every input") {
  google::protobuf::SetLogHandler(nullptr);
  for (const Target& target : Targets()) {
    DYNAMIC_SECTION(target.name) {
      const std::vector<std::string> corpus = CorpusOf(target.name);
      REQUIRE(!corpus.empty());
      target.run("");
      // Some input is valid; otherwise nothing behind the first check would ever be reached.
      CHECK(std::count_if(corpus.begin(), corpus.end(), target.run) > 0);
      for (uint32_t number = 0; number < target.inputs; ++number)
        target.run(Mutated(corpus, number));
    }
  }
}

TEST_CASE("every corpus has a target") {
  std::set<std::string> names;
  for (const Target& target : Targets()) names.insert(target.name);
  CHECK(names.size() == Targets().size());
  const std::filesystem::path folder =
      std::filesystem::path(testing::SourcePath("tests/fuzz/corpus"));
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    INFO(entry.path());
    CHECK(names.contains(entry.path().filename().string()));
  }
}

}  // namespace mentor::fuzz::TEST_FILE
