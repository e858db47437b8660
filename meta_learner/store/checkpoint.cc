#include "meta_learner/store/checkpoint.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

#include <absl/strings/str_format.h>
#include <unistd.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/sealed.h"
#include "common/status.h"
#include "common/uuid.h"
#include "mentor/v1/checkpoint.pb.h"
#include "meta_learner/store/sql_rows.h"

namespace mentor::meta_learner {
namespace {

// A checkpoint file, integers little-endian:
//
//   bytes 8     magic "MNTRCKP1"
//   u32         header_length
//   bytes       header: mentor.v1.CheckpointHeader
//   bytes       sections, one after another in the header's order, without gaps
//   u32         CRC32C of the header's bytes
//   u64         length of the whole file
//   bytes 32    SHA-256 of everything before it
//   bytes 8     magic "MNTRCKP1"
constexpr std::string_view kMagic = "MNTRCKP1";
constexpr uint32_t kCheckpointFormat = 1;
constexpr size_t kSealBytes = 32 + 8;  // The SHA-256 and the magic behind it.
constexpr size_t kTrailerBytes = 4 + 8 + kSealBytes;
constexpr size_t kHeaderBytesMax = 16 << 20;

template <typename T>
void AppendInteger(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(T));  // x86 is little-endian.
}

template <typename T>
T ReadInteger(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

absl::Status Corrupt(const std::filesystem::path& path, std::string_view why) {
  return MakeError(Reason::kDataLoss,
                   absl::StrFormat("%s is not a whole checkpoint: %s", path.string(), why));
}

// The bytes are those that were written, so an earlier checkpoint would not make it good.
absl::Status NotOurs(const std::filesystem::path& path, std::string_view why) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s was written wrong: its SHA-256 is right, but %s; move it away", path.string(), why));
}

std::optional<uint32_t> StepOfName(std::string_view name) {
  constexpr std::string_view kSuffix = ".ckpt";
  if (name.size() != 8 + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  return StepOf(name);
}

// Moves a file to DIR/corrupt/ under an unused name.
absl::StatusOr<std::filesystem::path> MoveAway(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path() / "corrupt";
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  std::filesystem::path target = folder / path.filename();
  for (int copy = 1; std::filesystem::exists(target); ++copy) {
    target = folder / absl::StrFormat("%s.%d", path.filename().string(), copy);
  }
  if (rename(path.c_str(), target.c_str()) != 0) return FileError("cannot move away", path, errno);
  MENTOR_RETURN_IF_ERROR(SyncFolder(folder));
  MENTOR_RETURN_IF_ERROR(SyncFolder(path.parent_path()));
  return target;
}

// Returns DATA_LOSS if a whole checkpoint is not what its place says. An empty UID is not compared.
absl::Status CheckBelongs(const Checkpoint& checkpoint, const CheckpointInfo& info,
                          std::string_view experiment_uid, const ExpectedCheckpoint& expected) {
  const auto differs = [](std::string_view found, std::string_view wanted) {
    return !wanted.empty() && found != wanted;
  };
  const auto step = StepOfName(info.path.filename().string());
  std::string why;
  if (step && checkpoint.outer_step != *step) {
    why = absl::StrFormat("it is of outer step %d", checkpoint.outer_step);
  } else if (differs(checkpoint.experiment_uid, experiment_uid)) {
    why = absl::StrFormat("it belongs to experiment %s, not %s", checkpoint.experiment_uid,
                          experiment_uid);
  } else if (differs(checkpoint.spec_hash, expected.spec_hash)) {
    why = absl::StrFormat("its spec has the hash %s, and that of the experiment %s",
                          checkpoint.spec_hash, expected.spec_hash);
  } else if (differs(info.state_hash, expected.state_hash)) {
    why = absl::StrFormat("its state has the hash %s, and the recorded one %s", info.state_hash,
                          expected.state_hash);
  } else if (differs(info.sha256, expected.sha256)) {
    why =
        absl::StrFormat("its SHA-256 is %s, and the recorded one %s", info.sha256, expected.sha256);
  } else {
    return absl::OkStatus();
  }
  return MakeError(Reason::kDataLoss,
                   absl::StrFormat("%s is whole, but %s; it stays where it is: restore the state "
                                   "from a backup, or move away what does not belong there",
                                   info.path.string(), why));
}

// Cuts a body into the sections that its header lists: one after the other, and nothing between.
absl::StatusOr<std::map<std::string, std::string>> SectionsOf(const std::filesystem::path& path,
                                                              const v1::CheckpointHeader& header,
                                                              std::string_view body) {
  std::map<std::string, std::string> sections;
  uint64_t offset = 0;
  for (const auto& section : header.sections()) {
    if (section.offset() != offset || section.length() > body.size() - offset)
      return NotOurs(path, absl::StrFormat("section %s does not fit", section.name()));
    const std::string_view bytes = body.substr(offset, section.length());
    offset += section.length();
    if (Crc32c(bytes) != section.crc32c())
      return NotOurs(path, absl::StrFormat("the CRC32C of section %s is wrong", section.name()));
    if (!sections.emplace(section.name(), bytes).second)
      return NotOurs(path, absl::StrFormat("section %s is there twice", section.name()));
  }
  if (offset != body.size())
    return NotOurs(path, absl::StrFormat("%d bytes belong to no section", body.size() - offset));
  return sections;
}

}  // namespace

std::string StateHash(const std::map<std::string, std::string>& sections) {
  Sha256 hash;
  hash.Update("mentor state 1\n");
  for (const auto& [name, bytes] : sections) {
    if (name.starts_with(kAsideSections)) continue;
    hash.Update(absl::StrFormat("%d:%s%d:", name.size(), name, bytes.size()));
    hash.Update(bytes);
  }
  return ToHex(hash.Finish());
}

std::optional<uint32_t> StepOf(std::string_view name) {
  uint32_t step = 0;
  if (name.size() < 8) return std::nullopt;
  const auto [end, error] = std::from_chars(name.data(), name.data() + 8, step);
  if (error != std::errc() || end != name.data() + 8) return std::nullopt;
  return step;
}

std::string CheckpointFileName(uint32_t outer_step) {
  return absl::StrFormat("%08d.ckpt", outer_step);
}

absl::StatusOr<CheckpointInfo> WriteCheckpoint(const std::filesystem::path& dir,
                                               const Checkpoint& checkpoint) {
  MENTOR_CHECK(checkpoint.outer_step <= 99'999'999);  // The file's name has eight digits.
  v1::CheckpointHeader header;
  header.set_format(kCheckpointFormat);
  header.set_experiment_uid(checkpoint.experiment_uid);
  header.set_outer_step(checkpoint.outer_step);
  header.set_spec_hash(checkpoint.spec_hash);
  header.set_build(checkpoint.build);
  uint64_t offset = 0;
  for (const auto& [name, bytes] : checkpoint.sections) {
    auto* section = header.add_sections();
    section->set_name(name);
    section->set_offset(offset);
    section->set_length(bytes.size());
    section->set_crc32c(Crc32c(bytes));
    offset += bytes.size();
  }
  const std::string header_bytes = StableBytes(header);
  MENTOR_CHECK(header_bytes.size() <= kHeaderBytesMax);

  std::string start(kMagic);
  AppendInteger<uint32_t>(header_bytes.size(), &start);
  start += header_bytes;
  const uint64_t total = start.size() + offset + kTrailerBytes;
  MENTOR_CHECK(total <= kCheckpointBytesMax);
  std::string trailer;
  AppendInteger<uint32_t>(Crc32c(header_bytes), &trailer);
  AppendInteger<uint64_t>(total, &trailer);

  std::vector<std::string_view> pieces = {start};
  for (const auto& [name, bytes] : checkpoint.sections) pieces.push_back(bytes);
  Sha256 hash;
  for (const std::string_view piece : pieces) hash.Update(piece);
  hash.Update(trailer);
  const std::string digest = hash.Finish();
  trailer += digest;
  trailer += kMagic;
  pieces.push_back(trailer);

  CheckpointInfo info{.path = dir / CheckpointFileName(checkpoint.outer_step),
                      .outer_step = checkpoint.outer_step,
                      .size_bytes = total,
                      .sha256 = ToHex(digest),
                      .state_hash = StateHash(checkpoint.sections)};
  MENTOR_RETURN_IF_ERROR(MakeFolders(dir));
  MENTOR_RETURN_IF_ERROR(WriteFileAtomically(info.path, pieces));
  return info;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::filesystem::path& path, CheckpointInfo* info) {
  std::error_code none;
  if (std::filesystem::is_directory(path, none)) return Corrupt(path, "it is a folder");
  MENTOR_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path, kCheckpointBytesMax));
  const std::string_view file(contents);
  const size_t start_bytes = kMagic.size() + 4;
  if (file.size() < start_bytes + kTrailerBytes) {
    return Corrupt(path,
                   absl::StrFormat("it has %d bytes, fewer than any checkpoint", file.size()));
  }
  if (!file.starts_with(kMagic)) return Corrupt(path, "it does not begin with MNTRCKP1");
  if (!file.ends_with(kMagic)) return Corrupt(path, "it does not end with MNTRCKP1");
  const std::string_view trailer = file.substr(file.size() - kTrailerBytes);
  const uint64_t total = ReadInteger<uint64_t>(trailer.substr(4));
  if (total != file.size()) {
    return Corrupt(path,
                   absl::StrFormat("it has %d bytes, its trailer says %d", file.size(), total));
  }
  const std::string_view digest = trailer.substr(12, 32);
  Sha256 hash;
  hash.Update(file.substr(0, file.size() - kTrailerBytes + 12));
  if (hash.Finish() != digest)
    return Corrupt(path, "its SHA-256 differs from the one in its trailer");

  // The hash matches, so the bytes are as written: an error from here on was written that way, and
  // is none that an earlier checkpoint makes good.
  const uint64_t header_length = ReadInteger<uint32_t>(file.substr(kMagic.size()));
  if (header_length > kHeaderBytesMax ||
      start_bytes + header_length + kTrailerBytes > file.size()) {
    return NotOurs(path, absl::StrFormat("its header claims %d bytes", header_length));
  }
  const std::string_view header_bytes = file.substr(start_bytes, header_length);
  if (Crc32c(header_bytes) != ReadInteger<uint32_t>(trailer))
    return NotOurs(path, "its header's CRC32C is wrong");
  v1::CheckpointHeader header;
  if (!header.ParseFromArray(header_bytes.data(), static_cast<int>(header_bytes.size()))) {
    return NotOurs(path, "its header cannot be parsed");
  }
  if (header.format() != kCheckpointFormat) {
    return MakeError(
        Reason::kTooNew,
        absl::StrFormat(
            "%s: it has format %d, this program reads %d; use the program that wrote it",
            path.string(), header.format(), kCheckpointFormat));
  }
  const std::string_view body = file.substr(
      start_bytes + header_length, file.size() - start_bytes - header_length - kTrailerBytes);
  Checkpoint checkpoint{.experiment_uid = header.experiment_uid(),
                        .outer_step = header.outer_step(),
                        .spec_hash = header.spec_hash(),
                        .build = header.build()};
  MENTOR_ASSIGN_OR_RETURN(checkpoint.sections, SectionsOf(path, header, body));
  if (info != nullptr) {
    *info = {.path = path,
             .outer_step = checkpoint.outer_step,
             .size_bytes = total,
             .sha256 = ToHex(digest),
             .state_hash = StateHash(checkpoint.sections)};
  }
  return checkpoint;
}

absl::StatusOr<Checkpoint> ReadCheckpointOf(const std::filesystem::path& path,
                                            const ExpectedCheckpoint& expected,
                                            CheckpointInfo* info) {
  CheckpointInfo found;
  MENTOR_ASSIGN_OR_RETURN(Checkpoint checkpoint, ReadCheckpoint(path, &found));
  const std::filesystem::path folder =
      std::filesystem::absolute(path).lexically_normal().parent_path();
  const std::string owner = folder.parent_path().filename();
  MENTOR_RETURN_IF_ERROR(
      CheckBelongs(checkpoint, found, IsUuid(owner) ? owner : std::string(), expected));
  if (info != nullptr) *info = std::move(found);
  return checkpoint;
}

void CheckpointProof::Update(std::string_view bytes) {
  const uint64_t hashed = left_ > kSealBytes ? left_ - kSealBytes : 0;
  const size_t own = std::min<uint64_t>(hashed, bytes.size());
  hash_.Update(bytes.substr(0, own));
  // A longer file fails by the length of its seal, of which one byte too many is enough.
  seal_ += bytes.substr(own, kSealBytes + 1 - seal_.size());
  left_ -= std::min<uint64_t>(left_, bytes.size());
}

bool CheckpointProof::Holds() {
  std::string seal = hash_.Finish();
  const bool is_of_row = ToHex(seal) == row_.sha256;
  seal += kMagic;
  return left_ == 0 && is_of_row && seal_ == seal;
}

absl::StatusOr<CheckpointScan> FindNewestWhole(const std::filesystem::path& dir,
                                               std::string_view experiment_uid,
                                               std::string_view spec_hash,
                                               std::optional<uint32_t> outer_step_max) {
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.start.scan")));
  CheckpointScan scan;
  MENTOR_ASSIGN_OR_RETURN(scan.temporary_files_removed, RemoveTemporaryFiles(dir));
  MENTOR_ASSIGN_OR_RETURN(const std::vector<uint32_t> steps, ListCheckpoints(dir));
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (outer_step_max && *step > *outer_step_max) continue;
    const std::filesystem::path path = dir / CheckpointFileName(*step);
    auto checkpoint = ReadCheckpoint(path, &scan.newest_info);
    if (!checkpoint.ok() && checkpoint.status().code() != absl::StatusCode::kDataLoss)
      return checkpoint.status();
    if (checkpoint.ok()) {
      MENTOR_RETURN_IF_ERROR(CheckBelongs(*checkpoint, scan.newest_info, experiment_uid,
                                          {.spec_hash = std::string(spec_hash)}));
      scan.newest = *std::move(checkpoint);
      return scan;
    }
    scan.newest_info = {};
    MENTOR_ASSIGN_OR_RETURN(const std::filesystem::path moved, MoveAway(path));
    scan.corrupt.push_back({moved, std::string(checkpoint.status().message())});
  }
  return scan;
}

absl::StatusOr<std::vector<uint32_t>> ListCheckpoints(const std::filesystem::path& dir) {
  std::vector<uint32_t> steps;
  const auto names = NamesIn(dir);
  if (absl::IsNotFound(names.status())) return steps;
  MENTOR_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (const auto step = StepOfName(name)) steps.push_back(*step);
  }
  return steps;  // Names with eight digits sort like numbers.
}

std::vector<uint32_t> DroppedCheckpoints(const std::vector<uint32_t>& steps,
                                         const CheckpointRetention& retention) {
  const uint32_t keep_last = retention.keep_last;
  std::vector<uint32_t> dropped;
  if (keep_last == 0 || steps.size() <= keep_last) return dropped;
  for (size_t i = 0; i + keep_last < steps.size(); ++i) {
    if (retention.keep_every > 0 && steps[i] % retention.keep_every == 0) continue;
    dropped.push_back(steps[i]);
  }
  return dropped;
}

absl::Status RemoveCheckpoint(const std::filesystem::path& dir, uint32_t step) {
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("store.retention.unlink")));
  return RemoveAll(dir / CheckpointFileName(step));
}

}  // namespace mentor::meta_learner
