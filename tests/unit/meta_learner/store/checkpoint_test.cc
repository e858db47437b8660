#include "meta_learner/store/checkpoint.h"

#include <fstream>

#include "common/file.h"
#include "common/hash.h"
#include "common/rng.h"
#include "mentor/v1/checkpoint.pb.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::TempFolder;

constexpr char kUid[] = "0f8fad5b-d9cb-469f-a165-70867728950e";

Checkpoint AtStep(uint32_t step) {
  return {.experiment_uid = kUid,
          .outer_step = step,
          .spec_hash = "abc",
          .build = "test",
          .sections = {{"counters", "step " + std::to_string(step)},
                       {"empty", ""},
                       {"rule/weights", std::string(3000, static_cast<char>('a' + step % 26))}}};
}

CheckpointInfo Write(const std::filesystem::path& dir, uint32_t step) {
  const auto info = WriteCheckpoint(dir, AtStep(step));
  INFO(info.status().ToString());
  REQUIRE(info.ok());
  return *info;
}

std::string Contents(const std::filesystem::path& path) {
  return *ReadFile(path, 1 << 20);
}

void Replace(const std::filesystem::path& path, std::string_view contents) {
  std::ofstream(path, std::ios::binary | std::ios::trunc).write(contents.data(), contents.size());
}

CheckpointScan Scan(const std::filesystem::path& dir) {
  auto scan = FindNewestWhole(dir, kUid, "abc");
  INFO(scan.status().ToString());
  REQUIRE(scan.ok());
  return *std::move(scan);
}

TEST_CASE("checkpoint: what was written is read back, and the file is as documented", "[unit]") {
  const TempFolder folder;
  const CheckpointInfo info = Write(folder.path(), 42);
  CHECK(info.path == folder.path() / "00000042.ckpt");
  CheckpointInfo read_info;
  const auto read = ReadCheckpoint(info.path, &read_info);
  REQUIRE(read.ok());
  CHECK(read->sections == AtStep(42).sections);
  CHECK(read->experiment_uid == kUid);
  CHECK(read->outer_step == 42);
  CHECK(read->spec_hash == "abc");
  CHECK(read->build == "test");
  CHECK(read_info.sha256 == info.sha256);
  CHECK(read_info.state_hash == info.state_hash);
  CHECK(read_info.size_bytes == info.size_bytes);

  // Built by hand from the grammar.
  const std::string file = Contents(info.path);
  CHECK(file.size() == info.size_bytes);
  CHECK(file.substr(0, 8) == "MNTRCKP1");
  uint32_t header_length;
  std::memcpy(&header_length, file.data() + 8, 4);
  v1::CheckpointHeader header;
  REQUIRE(header.ParseFromString(file.substr(12, header_length)));
  CHECK(header.format() == 1);
  REQUIRE(header.sections_size() == 3);
  CHECK(header.sections(0).name() == "counters");
  const auto& weights = header.sections(2);
  CHECK(file.substr(12 + header_length + weights.offset(), weights.length()) ==
        AtStep(42).sections["rule/weights"]);
  const size_t trailer = file.size() - 52;
  uint32_t header_crc;
  uint64_t total;
  std::memcpy(&header_crc, file.data() + trailer, 4);
  std::memcpy(&total, file.data() + trailer + 4, 8);
  CHECK(header_crc == Crc32c(file.substr(12, header_length)));
  CHECK(total == file.size());
  CHECK(ToHex(file.substr(trailer + 12, 32)) == Sha256Hex(file.substr(0, trailer + 12)));
  CHECK(info.sha256 == Sha256Hex(file.substr(0, trailer + 12)));
  CHECK(file.substr(trailer + 44) == "MNTRCKP1");
}

TEST_CASE("checkpoint: the state's hash depends on names and bytes of sections alone", "[unit]") {
  const TempFolder folder;
  Checkpoint other = AtStep(1);
  other.build = "another";
  const auto a = WriteCheckpoint(folder.path() / "a", AtStep(1)),
             b = WriteCheckpoint(folder.path() / "b", other);
  CHECK(a->state_hash == b->state_hash);
  CHECK(a->sha256 != b->sha256);
  CHECK(StateHash({{"ab", "c"}}) != StateHash({{"a", "bc"}}));
  CHECK(StateHash({{"a", ""}, {"b", ""}}) != StateHash({{"a", ""}}));
}

TEST_CASE("checkpoint: cut at any length, it is not whole", "[unit]") {
  const TempFolder folder;
  const auto path = Write(folder.path(), 1).path;
  const std::string whole = Contents(path);
  for (size_t length = 0; length < whole.size(); ++length) {
    Replace(path, whole.substr(0, length));
    const auto read = ReadCheckpoint(path);
    if (read.status().code() != absl::StatusCode::kDataLoss)
      FAIL("length " << length << ": " << read.status().ToString());
  }
  Replace(path, whole + "x");
  CHECK(ReadCheckpoint(path).status().code() == absl::StatusCode::kDataLoss);
  Replace(path, whole);
  CHECK(ReadCheckpoint(path).ok());
}

TEST_CASE("checkpoint: with any one byte changed, it is not whole", "[unit]") {
  const TempFolder folder;
  const auto path = Write(folder.path(), 1).path;
  const std::string whole = Contents(path);
  const RandomStream random{.seed = 3, .purpose = Purpose::kTest};
  for (uint32_t offset = 0; offset < whole.size(); ++offset) {
    std::string changed = whole;
    changed[offset] ^= static_cast<char>(1 << random.Below(8, offset, 0));
    Replace(path, changed);
    const auto read = ReadCheckpoint(path);
    if (read.status().code() != absl::StatusCode::kDataLoss)
      FAIL("offset " << offset << ": " << read.status().ToString());
  }
}

TEST_CASE("checkpoint: a file that was written wrong is refused even when its SHA-256 is right",
          "[unit]") {
  const TempFolder folder;
  const auto path = Write(folder.path(), 1).path;
  const std::string whole = Contents(path);
  uint32_t header_length;
  std::memcpy(&header_length, whole.data() + 8, 4);
  v1::CheckpointHeader header;
  REQUIRE(header.ParseFromString(whole.substr(12, header_length)));
  const std::string body = whole.substr(12 + header_length, whole.size() - 12 - header_length - 52);
  // The file with another header and correct sums.
  const auto reading = [&](const v1::CheckpointHeader& changed) {
    const std::string bytes = changed.SerializeAsString();
    const auto length = static_cast<uint32_t>(bytes.size());
    const uint32_t crc = Crc32c(bytes);
    const uint64_t total = 12 + bytes.size() + body.size() + 52;
    std::string file = "MNTRCKP1" + std::string(reinterpret_cast<const char*>(&length), 4) + bytes +
                       body + std::string(reinterpret_cast<const char*>(&crc), 4) +
                       std::string(reinterpret_cast<const char*>(&total), 8);
    Sha256 hash;
    hash.Update(file);
    file += hash.Finish() + "MNTRCKP1";
    Replace(path, file);
    return std::string(ReadCheckpoint(path).status().message());
  };
  CHECK(reading(header) == "");
  v1::CheckpointHeader changed = header;
  changed.set_format(2);
  CHECK(reading(changed).find("it has format 2, this program reads 1") != std::string::npos);
  changed = header;
  changed.mutable_sections(2)->set_length(uint64_t{1} << 63);
  CHECK(reading(changed).find("section rule/weights does not fit") != std::string::npos);
  changed = header;
  changed.mutable_sections(2)->set_offset(1);
  CHECK(reading(changed).find("section rule/weights does not fit") != std::string::npos);
  changed = header;
  changed.mutable_sections(2)->set_length(2999);
  CHECK(reading(changed).find("the CRC32C of section rule/weights is wrong") != std::string::npos);
  changed = header;
  changed.mutable_sections()->RemoveLast();
  CHECK(reading(changed).find("3000 bytes belong to no section") != std::string::npos);
  changed = header;
  changed.mutable_sections(1)->set_name("counters");
  CHECK(reading(changed).find("section counters is there twice") != std::string::npos);
}

TEST_CASE("checkpoint: a scan takes the newest whole one, moves others away and says so",
          "[unit]") {
  const TempFolder folder;
  for (const uint32_t step : {1u, 2u, 3u, 10u}) Write(folder.path(), step);
  CHECK(Scan(folder.path()).newest->outer_step == 10);

  const auto cut = folder.path() / CheckpointFileName(10);
  Replace(cut, Contents(cut).substr(0, 1000));
  const auto flipped = folder.path() / CheckpointFileName(3);
  std::string bytes = Contents(flipped);
  bytes[500] ^= 1;
  Replace(flipped, bytes);
  Replace(folder.path() / ".00000011.77.tmp", "half");
  Replace(folder.path() / "notes.txt", "mine");

  const CheckpointScan scan = Scan(folder.path());
  REQUIRE(scan.newest);
  CHECK(scan.newest->outer_step == 2);
  CHECK(scan.newest->sections == AtStep(2).sections);
  CHECK(scan.newest_info.outer_step == 2);
  CHECK(scan.temporary_files_removed == 1);
  REQUIRE(scan.corrupt.size() == 2);
  CHECK(scan.corrupt[0].path == folder.path() / "corrupt/00000010.ckpt");
  CHECK(scan.corrupt[0].reason.find(
            "00000010.ckpt is not a whole checkpoint: it does not end with MNTRCKP1") !=
        std::string::npos);
  CHECK(scan.corrupt[1].path == folder.path() / "corrupt/00000003.ckpt");
  CHECK(scan.corrupt[1].reason.find("its SHA-256 differs") != std::string::npos);
  // Kept for inspection.
  CHECK(Contents(folder.path() / "corrupt/00000010.ckpt").size() == 1000);
  CHECK(Contents(folder.path() / "notes.txt") == "mine");
  CHECK(*ListCheckpoints(folder.path()) == std::vector<uint32_t>{1, 2});

  // A second corrupt file of the same step does not overwrite the first.
  Write(folder.path(), 10);
  Replace(cut, "");
  CHECK(Scan(folder.path()).corrupt[0].path == folder.path() / "corrupt/00000010.ckpt.1");
  std::filesystem::create_directory(cut);
  CHECK(Scan(folder.path()).corrupt[0].path == folder.path() / "corrupt/00000010.ckpt.2");
}

TEST_CASE("checkpoint: a whole one of something else ends the scan and is never moved", "[unit]") {
  const TempFolder folder;
  Write(folder.path(), 1);
  const auto refused = [&](uint32_t step, const std::string& words) {
    const auto path = folder.path() / CheckpointFileName(step);
    const std::string before = Contents(path);
    const auto scan = FindNewestWhole(folder.path(), kUid, "abc");
    INFO(scan.status().ToString());
    CHECK(absl::IsDataLoss(scan.status()));
    CHECK(scan.status().message().find(words) != std::string::npos);
    CHECK(Contents(path) == before);
    CHECK_FALSE(std::filesystem::exists(folder.path() / "corrupt"));
    std::filesystem::remove(path);
  };
  Checkpoint foreign = AtStep(2);
  foreign.experiment_uid = "another";
  REQUIRE(WriteCheckpoint(folder.path(), foreign).ok());
  refused(2, "it belongs to experiment another, not " + std::string(kUid));
  Checkpoint other_spec = AtStep(3);
  other_spec.spec_hash = "def";
  REQUIRE(WriteCheckpoint(folder.path(), other_spec).ok());
  refused(3, "its spec has the hash def, and that of the experiment abc");
  const auto misnamed = Write(folder.path(), 4).path;
  std::filesystem::rename(misnamed, folder.path() / CheckpointFileName(9));
  refused(9, "it is of outer step 4");
  CHECK(Scan(folder.path()).newest->outer_step == 1);
}

TEST_CASE("checkpoint: a reader of one place refuses a whole one of something else", "[unit]") {
  const TempFolder folder;
  const auto checkpoints = folder.path() / kUid / "checkpoints";
  const CheckpointInfo own = Write(checkpoints, 2);
  const ExpectedCheckpoint expected = {
      .spec_hash = "abc", .state_hash = own.state_hash, .sha256 = own.sha256};
  CheckpointInfo info;
  REQUIRE(ReadCheckpointOf(own.path, expected, &info).ok());
  CHECK(info.sha256 == own.sha256);
  const auto refused = [&](const std::filesystem::path& from, const ExpectedCheckpoint& wanted) {
    Replace(own.path, Contents(from));
    const auto read = ReadCheckpointOf(own.path, wanted);
    CHECK(absl::IsDataLoss(read.status()));
    return std::string(read.status().message());
  };
  // Path and spec alone.
  const auto older = Write(folder.path() / "older", 1).path;
  CHECK(refused(older, {}).find("00000002.ckpt is whole, but it is of outer step 1") !=
        std::string::npos);
  Checkpoint other = AtStep(2);
  other.experiment_uid = "another";
  const auto foreign = WriteCheckpoint(folder.path() / "foreign", other)->path;
  CHECK(refused(foreign, {}).find("it belongs to experiment another, not " + std::string(kUid)) !=
        std::string::npos);
  other = AtStep(2);
  other.spec_hash = "def";
  const auto of_spec = WriteCheckpoint(folder.path() / "of_spec", other)->path;
  CHECK(refused(of_spec, {.spec_hash = "abc"}).find("its spec has the hash def") !=
        std::string::npos);
  // With the row.
  other = AtStep(2);
  other.sections["rule/weights"] += "x";
  const auto changed = WriteCheckpoint(folder.path() / "changed", other)->path;
  CHECK(refused(changed, expected).find("its state has the hash") != std::string::npos);
  other = AtStep(2);
  other.build = "another";
  const auto rebuilt = WriteCheckpoint(folder.path() / "rebuilt", other)->path;
  CHECK(refused(rebuilt, expected).find("its SHA-256 is") != std::string::npos);
}

TEST_CASE("checkpoint: bytes that pass in pieces are proved to be those of a row", "[unit]") {
  const TempFolder folder;
  const CheckpointInfo row = Write(folder.path() / "a", 1);
  const std::string whole = Contents(row.path);
  const auto holds = [&](std::string_view bytes, size_t piece) {
    CheckpointProof proof(row);
    for (size_t at = 0; at < bytes.size(); at += piece) proof.Update(bytes.substr(at, piece));
    return proof.Holds();
  };
  // Pieces that end before, at, inside of and behind the 40 bytes of the seal.
  for (const size_t piece :
       {size_t{1}, size_t{7}, whole.size() - 40, whole.size() - 3, whole.size()})
    CHECK(holds(whole, piece));
  for (const size_t offset :
       {size_t{0}, size_t{500}, whole.size() - 41, whole.size() - 40, whole.size() - 1}) {
    std::string flipped = whole;
    flipped[offset] ^= 1;
    CHECK_FALSE(holds(flipped, 1000));
  }
  CHECK_FALSE(holds(whole.substr(0, whole.size() - 1), 1000));
  CHECK_FALSE(holds(whole + "x", 1000));
  CHECK_FALSE(holds("", 1000));
  CHECK_FALSE(holds(Contents(Write(folder.path() / "b", 2).path), 1000));
}

TEST_CASE("checkpoint: a scan of an older step, of an empty folder and of none", "[unit]") {
  const TempFolder folder;
  CHECK_FALSE(Scan(folder.path()).newest);
  CHECK_FALSE(Scan(folder.path() / "missing").newest);
  for (const uint32_t step : {1u, 2u, 3u}) Write(folder.path(), step);
  const auto scan = FindNewestWhole(folder.path(), kUid, "abc", 2);
  CHECK(scan->newest->outer_step == 2);
  CHECK(ListCheckpoints(folder.path())->size() == 3);
}

TEST_CASE("checkpoint: retention keeps the newest", "[unit]") {
  using Steps = std::vector<uint32_t>;
  const Steps steps = {5, 10, 15, 99999999};
  CHECK(DroppedCheckpoints(steps, {.keep_last = 0}).empty());
  CHECK(DroppedCheckpoints(steps, {.keep_last = 2}) == Steps{5, 10});
  CHECK(DroppedCheckpoints(steps, {.keep_last = 2, .keep_every = 10}) == Steps{5});
  CHECK(DroppedCheckpoints({15, 99999999}, {.keep_last = 2}).empty());
}

}  // namespace mentor::TEST_FILE
