// Hashes of stored and sent bytes: SHA-256 for identity, CRC32C for torn blocks. Functions are
// pure; an object belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX.

namespace mentor {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::string_view bytes);
  // Returns the 32 bytes of the digest; must be the last call on this object.
  std::string Finish();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

std::string Sha256Hex(std::string_view bytes);
std::string ToHex(std::string_view bytes);  // Lower case.
bool IsHex(std::string_view text);          // Lower case, any length.

// Castagnoli's polynomial (RFC 3720). `crc` continues an earlier result: Crc32c(b, Crc32c(a)) ==
// Crc32c(ab).
uint32_t Crc32c(std::string_view bytes, uint32_t crc = 0);

}  // namespace mentor
