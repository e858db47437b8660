#include <cstdlib>

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "common/file.h"
#include "meta_learner/objects/s3_store.h"

namespace mentor::meta_learner {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  // Values become headers, where a newline from a file would begin another one.
  return std::string(absl::StripAsciiWhitespace(value == nullptr ? "" : value));
}

}  // namespace

absl::StatusOr<S3Credentials> ParseS3Credentials(std::string_view text, std::string_view section) {
  S3Credentials credentials;
  bool inside = false;
  for (const absl::string_view whole :
       absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    const absl::string_view line = absl::StripAsciiWhitespace(whole);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      const absl::string_view name = absl::StripAsciiWhitespace(line.substr(1, line.find(']') - 1));
      inside = std::string_view(name.data(), name.size()) == section;
      continue;
    }
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    if (!inside) continue;
    const std::string value(absl::StripAsciiWhitespace(pair.second));
    const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(pair.first));
    if (name == "aws_access_key_id") credentials.key_id = value;
    if (name == "aws_secret_access_key") credentials.secret = Secret(value);
    if (name == "aws_session_token") credentials.session_token = Secret(value);
  }
  if (credentials.key_id.empty() || credentials.secret.empty()) {
    return absl::PermissionDeniedError(
        absl::StrFormat("has no aws_access_key_id and aws_secret_access_key in its section [%s]",
                        std::string(section)));
  }
  return credentials;
}

absl::StatusOr<S3Credentials> FindS3Credentials() {
  S3Credentials credentials{.key_id = Variable("AWS_ACCESS_KEY_ID"),
                            .secret = Secret(Variable("AWS_SECRET_ACCESS_KEY")),
                            .session_token = Secret(Variable("AWS_SESSION_TOKEN"))};
  if (!credentials.key_id.empty() && !credentials.secret.empty()) return credentials;
  std::string file = Variable("AWS_SHARED_CREDENTIALS_FILE");
  if (file.empty()) file = Variable("HOME") + "/.aws/credentials";
  std::string section = Variable("AWS_PROFILE");
  if (section.empty()) section = "default";
  const auto text = ReadFile(file, 1 << 20);
  if (!text.ok()) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "write them into a file (%s)",
        text.status().message()));
  }
  auto parsed = ParseS3Credentials(*text, section);
  if (!parsed.ok()) {
    return absl::PermissionDeniedError(absl::StrFormat("no credentials for the object store: %s %s",
                                                       file, parsed.status().message()));
  }
  return parsed;
}

std::string S3RegionOr(const std::string& region) {
  if (!region.empty()) return region;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (std::string value = Variable(name); !value.empty()) return value;
  }
  return "us-east-1";
}

}  // namespace mentor::meta_learner
