// A text that must stay secret: a token, a key. It cannot be printed by accident, and its bytes are
// wiped in the destructor. A value; not thread-safe to change.
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include <openssl/crypto.h>

namespace mentor {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  ~Secret() { Wipe(); }
  Secret(const Secret&) = default;
  Secret& operator=(const Secret& other) {
    if (this != &other) {
      Wipe();
      value_ = other.value_;
    }
    return *this;
  }

  bool empty() const { return value_.empty(); }
  // Only for the code that sends or stores the secret.
  const std::string& Reveal() const { return value_; }
  // For logs and messages.
  static constexpr std::string_view Redacted() { return "<redacted>"; }

 private:
  void Wipe() {
    OPENSSL_cleanse(value_.data(), value_.size());
    value_.clear();
  }
  std::string value_;
};

std::ostream& operator<<(std::ostream&, const Secret&) = delete;

}  // namespace mentor
