#include "common/sealed.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/status.h"

namespace mentor {
namespace {

constexpr std::string_view kSealMark = "# sha256 ";
constexpr size_t kSealDigits = 64;

std::string SealLine(std::string_view contents) {
  return absl::StrCat(std::string(kSealMark), Sha256Hex(contents), "\n");
}

}  // namespace

std::string Sealed(std::string_view contents) {
  return SealLine(contents) + std::string(contents);
}

std::string SealedText(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  MENTOR_CHECK(printer.PrintToString(message, &text));
  return Sealed(text);
}

std::string StableBytes(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    MENTOR_CHECK(message.SerializeToCodedStream(&coded));
  }
  return bytes;
}

bool IsSealed(std::string_view file) {
  // No file that earlier versions wrote begins like this, and no single byte hides the line.
  return file.starts_with(kSealMark[0]) ||
         (!file.empty() && file.substr(1).starts_with(kSealMark.substr(1)));
}

absl::StatusOr<std::string> Unsealed(std::string_view file, const std::filesystem::path& path) {
  if (!IsSealed(file)) return std::string(file);
  constexpr size_t kLineBytes = kSealMark.size() + kSealDigits + 1;
  const std::string_view contents = file.substr(std::min(file.size(), kLineBytes));
  if (file.starts_with(SealLine(contents))) return std::string(contents);
  return MakeError(Reason::kDataLoss,
                   absl::StrFormat("%s is damaged: its SHA-256 is not the one in its first line; "
                                   "restore it from a backup",
                                   path.string()));
}

}  // namespace mentor
