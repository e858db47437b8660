#include "common/rpc/certificates.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <utility>

#include <absl/strings/str_cat.h>
#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"

namespace mentor::rpc {
namespace {

// Disables OpenSSL's cleanup at exit, which threads of gRPC in a handshake would not survive. Runs
// before main, since only the first use of OpenSSL can set it.
[[maybe_unused]] const bool kWithoutCleanup =
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr) == 1;

constexpr uint64_t kPemBytesMax = 1 << 20;
// Certificates are valid from this long before their creation, since clocks differ.
constexpr int64_t kClockSkewS = 300;

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION, X509_EXTENSION_free>>;
struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, BioDeleter>;

Bio ReadOnly(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

absl::StatusOr<std::string> ReadPem(std::string_view flag, const std::string& path) {
  auto text = ReadFile(path, kPemBytesMax);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(flag), ": ", std::string(text.status().message())));
  }
  if (text->empty()) {
    return absl::InvalidArgumentError(std::string(flag) + ": '" + path + "' is empty");
  }
  return text;
}

// Returns all certificates of a file, at least one.
absl::StatusOr<std::vector<Certificate>> ParseCertificates(std::string_view flag,
                                                           const std::string& path,
                                                           const std::string& pem) {
  const Bio bio = ReadOnly(pem);
  std::vector<Certificate> certificates;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  if (certificates.empty()) {
    return absl::InvalidArgumentError(std::string(flag) + ": '" + path +
                                      "' holds no PEM certificate");
  }
  if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(flag), ": certificate ",
                                                   certificates.size() + 1, " of '", path,
                                                   "' is damaged"));
  }
  return certificates;
}

absl::StatusOr<Key> ParseKey(std::string_view flag, const std::string& path,
                             const std::string& pem) {
  // Without a callback OpenSSL would ask the terminal for a passphrase.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  Key key(PEM_read_bio_PrivateKey(ReadOnly(pem).get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  if (!key) {
    return absl::InvalidArgumentError(std::string(flag) + ": '" + path +
                                      "' holds no PEM key without a passphrase");
  }
  return key;
}

int64_t Seconds(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return timegm(&parts);
}

std::string ContentsOf(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string Text(const ASN1_TIME* time) {
  const Bio bio(BIO_new(BIO_s_mem()));
  ASN1_TIME_print(bio.get(), time);
  return ContentsOf(bio);
}

}  // namespace

absl::StatusOr<TlsTexts> ReadTls(const TlsFiles& files) {
  TlsTexts texts;
  if (!files.authority.empty()) {
    MENTOR_ASSIGN_OR_RETURN(texts.authority, ReadPem("--tls_ca", files.authority));
    MENTOR_RETURN_IF_ERROR(
        ParseCertificates("--tls_ca", files.authority, texts.authority).status());
  }
  if (files.certificate.empty() && files.key.empty()) return texts;
  if (files.certificate.empty() || files.key.empty()) {
    return absl::InvalidArgumentError("--tls_cert and --tls_key go together: both or none");
  }
  MENTOR_ASSIGN_OR_RETURN(texts.certificate, ReadPem("--tls_cert", files.certificate));
  MENTOR_ASSIGN_OR_RETURN(std::string key_text, ReadPem("--tls_key", files.key));
  texts.key = Secret(std::move(key_text));
  MENTOR_ASSIGN_OR_RETURN(const auto chain,
                          ParseCertificates("--tls_cert", files.certificate, texts.certificate));
  MENTOR_ASSIGN_OR_RETURN(const Key key, ParseKey("--tls_key", files.key, texts.key.Reveal()));
  X509* const own = chain.front().get();
  // A wrong key would make every handshake fail later, without an explanation.
  const bool matches = X509_check_private_key(own, key.get()) == 1;
  ERR_clear_error();
  if (!matches) {
    return absl::InvalidArgumentError("--tls_key: '" + files.key +
                                      "' does not belong to the certificate '" + files.certificate +
                                      "'");
  }
  if (X509_cmp_current_time(X509_get0_notAfter(own)) < 0) {
    return absl::InvalidArgumentError("--tls_cert: '" + files.certificate + "' has expired (" +
                                      Text(X509_get0_notAfter(own)) + "); make a new one");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(own)) > 0) {
    return absl::InvalidArgumentError("--tls_cert: '" + files.certificate +
                                      "' is valid only from " + Text(X509_get0_notBefore(own)) +
                                      " on; check this machine's clock");
  }
  for (size_t i = 0; i + 1 < chain.size(); ++i) {
    const Key issuer(X509_get_pubkey(chain[i + 1].get()));
    const bool signed_by_next =
        X509_check_issued(chain[i + 1].get(), chain[i].get()) == X509_V_OK && issuer &&
        X509_verify(chain[i].get(), issuer.get()) == 1;
    ERR_clear_error();
    if (!signed_by_next) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tls_cert: certificate ", i + 1, " of '", files.certificate,
                       "' is not signed by the next one; the order is: own, then its issuer"));
    }
  }
  texts.expires_s = Seconds(X509_get0_notAfter(own));
  return texts;
}

TlsReloader::TlsReloader(const TlsFiles& files, Metrics* metrics, TlsTexts texts)
    : files_(files), texts_(std::make_shared<const TlsTexts>(std::move(texts))) {
  if (metrics == nullptr) return;
  failures_ = &metrics->Counter(
      "mentor_tls_reload_failures_total",
      "Times that changed certificate files were not usable; the old ones stay in force.");
  if (files_.certificate.empty()) return;
  expiry_ = &metrics->Gauge("mentor_tls_certificate_expiry_timestamp_seconds",
                            "End of the own certificate, in seconds since the epoch.");
  expiry_->Set(static_cast<double>(texts_->expires_s));
}

absl::StatusOr<std::shared_ptr<TlsReloader>> TlsReloader::Make(const TlsFiles& files,
                                                               Metrics* metrics) {
  MENTOR_ASSIGN_OR_RETURN(TlsTexts texts, ReadTls(files));
  return std::shared_ptr<TlsReloader>(new TlsReloader(files, metrics, std::move(texts)));
}

bool TlsReloader::Reload() {
  auto texts = ReadTls(files_);
  MutexLock lock(mutex_);
  if (!texts.ok()) {
    // Key and certificate may be replaced one after the other.
    if (!error_.IsNews(texts.status())) return false;
    if (failures_ != nullptr) failures_->Increment();
    MENTOR_LOG(kError, "certificates cannot be read again; the old ones stay in force",
               {{"error", texts.status()}});
    return false;
  }
  error_ = {};
  if (*texts == *texts_) return false;
  if (expiry_ != nullptr) expiry_->Set(static_cast<double>(texts->expires_s));
  texts_ = std::make_shared<const TlsTexts>(*std::move(texts));
  ++version_;
  MENTOR_LOG(kInfo, "new certificates are in force", {{"expires_s", texts_->expires_s}});
  return true;
}

std::shared_ptr<const TlsTexts> TlsReloader::texts(uint64_t* version) const {
  MutexLock lock(mutex_);
  *version = version_;
  return texts_;
}

namespace {

struct Pair {
  Certificate certificate;
  Key key;
};

// Requested contents of a certificate.
struct Wish {
  std::string common_name;
  std::string alternative_names = {};  // In the syntax of OpenSSL's configuration; may be empty.
  std::string usage = {};              // extendedKeyUsage, in the same syntax.
  int days = 0;
  bool authority = false;
};

absl::Status Broken(std::string_view what) {
  char text[256] = "";
  if (const unsigned long error = ERR_get_error(); error != 0) {
    ERR_error_string_n(error, text, sizeof(text));
  }
  ERR_clear_error();
  return absl::InternalError(absl::StrCat("OpenSSL: ", std::string(what), ": ", text));
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return Broken("extension '" + value + "'");
  }
  return absl::OkStatus();
}

// Signed by `authority`, or self-signed if it is null.
absl::StatusOr<Pair> MakePair(const Wish& wish, const Pair* authority) {
  Pair pair{Certificate(X509_new()), Key(EVP_EC_gen("P-256"))};
  X509* const certificate = pair.certificate.get();
  if (certificate == nullptr || !pair.key) return Broken("no key");
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof(serial)) != 1) return Broken("no random numbers");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x3f) | 0x40);  // Positive, of full length.
  const std::unique_ptr<BIGNUM, Deleter<BIGNUM, BN_free>> number(
      BN_bin2bn(serial, sizeof(serial), nullptr));
  X509_NAME* const name = X509_get_subject_name(certificate);
  const bool filled =
      X509_set_version(certificate, X509_VERSION_3) == 1 && number &&
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr &&
      X509_gmtime_adj(X509_getm_notBefore(certificate), -kClockSkewS) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(certificate), int64_t{86'400} * wish.days) != nullptr &&
      X509_set_pubkey(certificate, pair.key.get()) == 1 &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(wish.common_name.c_str()),
                                 -1, -1, 0) == 1;
  X509* const issuer = authority != nullptr ? authority->certificate.get() : certificate;
  if (!filled || X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1) {
    return Broken("certificate");
  }
  std::vector<std::pair<int, std::string>> extensions = {
      {NID_basic_constraints, wish.authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE"},
      {NID_key_usage,
       wish.authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature"},
      {NID_subject_key_identifier, "hash"},
  };
  if (!wish.authority) extensions.emplace_back(NID_authority_key_identifier, "keyid");
  if (!wish.usage.empty()) extensions.emplace_back(NID_ext_key_usage, wish.usage);
  if (!wish.alternative_names.empty()) {
    extensions.emplace_back(NID_subject_alt_name, wish.alternative_names);
  }
  for (const auto& [nid, value] : extensions) {
    MENTOR_RETURN_IF_ERROR(AddExtension(certificate, issuer, nid, value));
  }
  EVP_PKEY* const key = authority != nullptr ? authority->key.get() : pair.key.get();
  if (X509_sign(certificate, key, EVP_sha256()) == 0) return Broken("signature");
  return pair;
}

// Writes the key first: a reader that sees the new key with the old certificate retries.
absl::Status WritePair(const std::filesystem::path& stem, const Pair& pair,
                       std::vector<std::string>* written) {
  const Bio key(BIO_new(BIO_s_mem())), certificate(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(key.get(), pair.key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_X509(certificate.get(), pair.certificate.get()) != 1) {
    return Broken("PEM");
  }
  const Secret key_text(ContentsOf(key));
  MENTOR_RETURN_IF_ERROR(
      WriteFileAtomically(stem.string() + ".key", key_text.Reveal(), /*mode=*/0600));
  MENTOR_RETURN_IF_ERROR(
      WriteFileAtomically(stem.string() + ".crt", ContentsOf(certificate), /*mode=*/0644));
  written->push_back(stem.string() + ".key");
  written->push_back(stem.string() + ".crt");
  return absl::OkStatus();
}

constexpr std::string_view kServers[] = {"meta-learner", "learner"};

// Returns "DNS:a,IP:1.2.3.4" of a server. Names are checked by character, since OpenSSL's syntax
// would let a name add others.
absl::StatusOr<std::string> AlternativeNames(const std::vector<std::string>& names,
                                             std::string_view server) {
  std::string text = "DNS:localhost,IP:127.0.0.1,IP:::1";
  for (std::string name : names) {
    if (const size_t equals = name.find('='); equals != name.npos) {
      const std::string_view alone = std::string_view(name).substr(0, equals);
      if (std::find(std::begin(kServers), std::end(kServers), alone) == std::end(kServers)) {
        return absl::InvalidArgumentError("names: '" + name +
                                          "' is of no server; give NAME, meta-learner=NAME or "
                                          "learner=NAME");
      }
      if (alone != server) continue;
      name.erase(0, equals + 1);
    }
    unsigned char address[16];
    if (inet_pton(AF_INET, name.c_str(), address) == 1 ||
        inet_pton(AF_INET6, name.c_str(), address) == 1) {
      text += ",IP:" + name;
      continue;
    }
    const bool good = !name.empty() && name.size() <= 253 &&
                      name.find_first_not_of(
                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                          "0123456789-.*_") == std::string::npos;
    if (!good) {
      return absl::InvalidArgumentError("names: '" + name +
                                        "' is neither a DNS name nor an IP address");
    }
    if (name != "localhost") text += ",DNS:" + name;
  }
  return text;
}

// Reads an authority that must last for `days`.
absl::StatusOr<Pair> ReadAuthority(const std::string& ca_key, const std::string& ca_crt, int days) {
  Pair authority;
  MENTOR_ASSIGN_OR_RETURN(const std::string key, ReadPem("ca.key", ca_key));
  MENTOR_ASSIGN_OR_RETURN(const std::string certificate, ReadPem("ca.crt", ca_crt));
  MENTOR_ASSIGN_OR_RETURN(authority.key, ParseKey("ca.key", ca_key, key));
  MENTOR_ASSIGN_OR_RETURN(auto parsed, ParseCertificates("ca.crt", ca_crt, certificate));
  authority.certificate = std::move(parsed.front());
  X509* const own = authority.certificate.get();
  const bool matches = X509_check_private_key(own, authority.key.get()) == 1;
  ERR_clear_error();
  if (!matches) {
    return absl::FailedPreconditionError("'" + ca_key + "' does not belong to '" + ca_crt + "'");
  }
  const ASN1_TIME* const end = X509_get0_notAfter(own);
  if (Seconds(end) < std::time(nullptr) + int64_t{86'400} * days) {
    return absl::FailedPreconditionError(
        absl::StrCat("the authority '", ca_crt, "' ends on ", Text(end), ", before the ", days,
                     " days asked for; ask for fewer, or begin a new folder"));
  }
  return authority;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> InitCertificates(const std::string& folder,
                                                          const CertificateRequest& request) {
  if (request.days < 1 || request.days > 3650) {
    return absl::InvalidArgumentError(
        absl::StrCat("days: ", request.days, " is not within 1 to 3650"));
  }
  if (request.authority_days < request.days || request.authority_days > 36500) {
    return absl::InvalidArgumentError(absl::StrCat("authority_days: ", request.authority_days,
                                                   " is not within ", request.days, " to 36500"));
  }
  MENTOR_ASSIGN_OR_RETURN(const std::string names, AlternativeNames(request.names, kServers[0]));
  MENTOR_ASSIGN_OR_RETURN(const std::string learner_names,
                          AlternativeNames(request.names, kServers[1]));
  const std::filesystem::path root(folder);
  MENTOR_RETURN_IF_ERROR(MakeFolders(root, 0700));
  std::vector<std::string> written;
  const std::string ca_key = (root / "ca.key").string(), ca_crt = (root / "ca.crt").string();
  std::error_code ignored;
  const bool has_key = std::filesystem::exists(ca_key, ignored);
  const bool has_certificate = std::filesystem::exists(ca_crt, ignored);
  if (has_key != has_certificate) {
    return absl::FailedPreconditionError("'" + folder + "' has only one of ca.key and ca.crt; " +
                                         "put the other one back or name an empty folder");
  }
  Pair authority;
  if (has_key) {
    MENTOR_ASSIGN_OR_RETURN(authority, ReadAuthority(ca_key, ca_crt, request.days));
  } else {
    MENTOR_ASSIGN_OR_RETURN(authority, MakePair({.common_name = "mentor authority",
                                                 .days = request.authority_days,
                                                 .authority = true},
                                                nullptr));
    MENTOR_RETURN_IF_ERROR(WritePair(root / "ca", authority, &written));
  }
  const auto role = [](std::string_view name) {
    return "URI:spiffe://mentor/role/" + std::string(name);
  };
  const std::vector<Wish> wishes = {
      {.common_name = "meta-learner", .alternative_names = names, .usage = "serverAuth"},
      {.common_name = "learner",
       .alternative_names = learner_names + "," + role("learner"),
       .usage = "serverAuth,clientAuth"},
      {.common_name = "actor", .alternative_names = role("actor"), .usage = "clientAuth"},
      {.common_name = "operator", .alternative_names = role("operator"), .usage = "clientAuth"},
      {.common_name = "admin", .alternative_names = role("admin"), .usage = "clientAuth"},
      {.common_name = "viewer", .alternative_names = role("viewer"), .usage = "clientAuth"},
      // Its users' tokens say what mentor-web may do.
      {.common_name = "web", .alternative_names = "DNS:web", .usage = "clientAuth"},
  };
  for (Wish wish : wishes) {
    wish.days = request.days;
    MENTOR_ASSIGN_OR_RETURN(const Pair pair, MakePair(wish, &authority));
    MENTOR_RETURN_IF_ERROR(WritePair(root / wish.common_name, pair, &written));
  }
  return written;
}

}  // namespace mentor::rpc
