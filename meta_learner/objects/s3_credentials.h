// Finds credentials for the S3 API as the AWS tools do: in the environment, else in the usual file.
// Functions without state.
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

// Reads AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Otherwise reads section
// AWS_PROFILE ("default") of the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials). Reads the
// file each time, since it may be renewed. Returns PERMISSION_DENIED with the searched places.
absl::StatusOr<S3Credentials> FindS3Credentials();

// Parses one section of such a file.
absl::StatusOr<S3Credentials> ParseS3Credentials(std::string_view text, std::string_view section);

// Returns `region` if set, else AWS_REGION, AWS_DEFAULT_REGION or us-east-1, in this order.
std::string S3RegionOr(const std::string& region);

}  // namespace mentor::meta_learner
