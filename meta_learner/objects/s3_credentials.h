// Credentials for the S3 API as the tools of AWS find them: from the environment, else from the
// usual file. Functions without state.
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "common/secret.h"

namespace mentor::meta_learner {

struct S3Credentials {
  std::string key_id;
  Secret secret;
  Secret session_token;  // Empty: none.
};

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; else the section AWS_PROFILE
// ("default") of the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), which is read each
// time: it may be renewed. PERMISSION_DENIED says where it looked.
absl::StatusOr<S3Credentials> FindS3Credentials();

// Of one section of such a file.
absl::StatusOr<S3Credentials> ParseS3Credentials(std::string_view text, std::string_view section);

// The given one, else that of AWS_REGION and AWS_DEFAULT_REGION, else us-east-1.
std::string S3RegionOr(const std::string& region);

}  // namespace mentor::meta_learner
