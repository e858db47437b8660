#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/time.h>
#include <pugixml.hpp>

#include "meta_learner/objects/s3_store.h"

namespace mentor::meta_learner {
namespace {

absl::Status NoList(std::string_view why) {
  return absl::UnavailableError(
      absl::StrCat("the object store answered with no list: ", std::string(why)));
}

struct S3Code {
  std::string code, message;
};

// Returns empty fields if the body is no S3 error.
S3Code CodeOf(std::string_view body) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return {};
  const pugi::xml_node error = document.child("Error");
  return {std::string(error.child_value("Code")).substr(0, 100),
          std::string(error.child_value("Message")).substr(0, 500)};
}

absl::string_view RemedyOf(const std::string& code) {
  if (code == "RequestTimeTooSkewed") return "; set the clock of this machine";
  if (code == "PermanentRedirect" || code == "AuthorizationHeaderMalformed" ||
      code == "IllegalLocationConstraintException")
    return "; give the bucket's region with --objects_region";
  if (code == "NoSuchBucket") return "; make the bucket, or name another one with --objects";
  if (code == "SignatureDoesNotMatch" || code == "InvalidAccessKeyId" || code == "InvalidToken" ||
      code == "ExpiredToken" || code == "AccessDenied")
    return "; look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the credentials file, and at "
           "what they may do there";
  return "";
}

absl::StatusCode CodeOfAnswer(long http, const std::string& code) {
  if (http == 404) {
    if (code == "NoSuchKey") return absl::StatusCode::kNotFound;
    if (code == "NoSuchBucket") return absl::StatusCode::kFailedPrecondition;
    // The error is not from S3: a proxy's page does not mean that the object is lost.
    return absl::StatusCode::kUnavailable;
  }
  if (http == 412) return absl::StatusCode::kAlreadyExists;
  if (http == 401 || http == 403) return absl::StatusCode::kPermissionDenied;
  if (code == "InvalidToken" || code == "ExpiredToken") return absl::StatusCode::kPermissionDenied;
  const bool passes = http >= 500 || http == 408 || http == 409 || http == 429 ||
                      code == "RequestTimeout" || code == "SlowDown";
  return passes ? absl::StatusCode::kUnavailable : absl::StatusCode::kFailedPrecondition;
}

}  // namespace

absl::StatusOr<S3ListPage> ParseS3List(std::string_view xml) {
  pugi::xml_document document;
  if (const auto parsed = document.load_buffer(xml.data(), xml.size()); !parsed)
    return NoList(parsed.description());
  const pugi::xml_node root = document.child("ListBucketResult");
  const std::string truncated = root.child_value("IsTruncated");
  if (truncated != "true" && truncated != "false") return NoList("it has no IsTruncated");
  S3ListPage page;
  for (const pugi::xml_node node : root.children("Contents")) {
    S3ListPage::Item item{.key = node.child_value("Key")};
    absl::Time modified;
    std::string ignored;
    if (item.key.empty() || !absl::SimpleAtoi(node.child_value("Size"), &item.size_bytes) ||
        !absl::ParseTime(absl::RFC3339_full, node.child_value("LastModified"), &modified,
                         &ignored)) {
      return NoList("an entry has no Key, Size and LastModified");
    }
    item.modified_s = absl::ToUnixSeconds(modified);
    page.items.push_back(std::move(item));
  }
  for (const pugi::xml_node node : root.children("CommonPrefixes"))
    page.folders.push_back(node.child_value("Prefix"));
  if (truncated == "true") {
    page.next = root.child_value("NextContinuationToken");
    if (page.next.empty()) return NoList("it is cut and has no NextContinuationToken");
  }
  return page;
}

absl::Status S3Error(std::string_view doing, long http, std::string_view body) {
  const S3Code s3 = CodeOf(body);
  return absl::Status(
      CodeOfAnswer(http, s3.code),
      absl::StrFormat("%s: %d %s%s%s%s", std::string(doing), http,
                      s3.code.empty() ? "without a code of S3" : s3.code,
                      s3.message.empty() ? "" : ": ", s3.message, RemedyOf(s3.code)));
}

}  // namespace mentor::meta_learner
