// Certificates: refused ones with reasons, making them, and reading them again.
#include "common/rpc/certificates.h"

#include <cstdlib>

#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/certificate_files.h"
#include "tests/metric_value.h"
#include "tests/run_child.h"
#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

using mentor::testing::MetricValue;
using mentor::testing::ReadText;
using mentor::testing::TempFolder;
using mentor::testing::TestCertificates;
using mentor::testing::WriteText;

void Has(const std::string& text, const std::string& part) {
  INFO(text);
  INFO("must have: " << part);
  CHECK(text.find(part) != std::string::npos);
}

TEST_CASE("certificates: what cannot work is refused by name", "[unit]") {
  const TestCertificates files;
  const auto message = [](const TlsFiles& tls) {
    return std::string(ReadTls(tls).status().message());
  };
  const std::string crt = files.crt("actor"), key = files.key("actor");
  CHECK(ReadTls({.certificate = crt, .key = key, .authority = files.crt("ca")}).ok());
  CHECK(ReadTls({}).ok());
  Has(message({.certificate = crt}), "--tls_key");
  Has(message({.certificate = crt, .key = files.key("viewer")}), "does not belong");
  Has(message({.certificate = key, .key = key}), "no PEM certificate");
  Has(message({.certificate = crt, .key = crt}), "no PEM key");
  Has(message({.certificate = files.crt("none"), .key = key}), "none.crt");
  Has(message({.certificate = files.crt("expired"), .key = files.key("expired")}), "has expired");
  Has(message({.authority = files.key("ca")}), "--tls_ca");
  const std::string chain = files.path("chain.crt");
  WriteText(chain, ReadText(crt) + ReadText(files.crt("ca")));
  CHECK(ReadTls({.certificate = chain, .key = key}).ok());
  WriteText(chain, ReadText(crt) + ReadText(files.path("other/ca.crt")));
  Has(message({.certificate = chain, .key = key}), "certificate 1 of");
  WriteText(chain,
            ReadText(crt) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  Has(message({.certificate = chain, .key = key}), "certificate 2 of");
  WriteText(chain, "");
  Has(message({.certificate = chain, .key = key}), "is empty");
}

TEST_CASE("certificates: what we make holds before openssl", "[unit]") {
  const TestCertificates files;
  const auto run = [](const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str());
  };
  for (const char* name : {"meta-learner", "learner"}) {
    CHECK(run("openssl verify -x509_strict -purpose sslserver -verify_hostname localhost -CAfile " +
              files.crt("ca") + " " + files.crt(name)) == 0);
    CHECK(run("openssl verify -purpose sslserver -verify_ip ::1 -CAfile " + files.crt("ca") + " " +
              files.crt(name)) == 0);
  }
  for (const char* name : {"learner", "actor", "operator", "viewer"}) {
    INFO(name);
    CHECK(run("openssl verify -x509_strict -purpose sslclient -CAfile " + files.crt("ca") + " " +
              files.crt(name)) == 0);
    CHECK(run("openssl verify -CAfile " + files.path("other/ca.crt") + " " + files.crt(name)) != 0);
    CHECK(run("openssl x509 -noout -ext subjectAltName -in " + files.crt(name) +
              " | grep -q URI:spiffe://mentor/role/" + name) == 0);
  }
  CHECK(run("openssl verify -purpose sslserver -CAfile " + files.crt("ca") + " " +
            files.crt("actor")) != 0);
  struct stat info {};
  REQUIRE(stat(files.key("actor").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("certificates: names of servers, renewal, and what is refused", "[unit]") {
  const TempFolder folder;
  const std::string root = folder.path() / "certs";
  const auto made = InitCertificates(root, {.names = {"meta.example.org", "10.1.2.3", "fd00::1"}});
  INFO(made.status());
  REQUIRE(made.ok());
  CHECK(made->size() == 16);
  const auto verify = [&](const std::string& name) {
    return std::system(("openssl verify " + name + " -CAfile " + root + "/ca.crt " + root +
                        "/meta-learner.crt >/dev/null 2>&1")
                           .c_str());
  };
  CHECK(verify("-verify_hostname meta.example.org") == 0);
  CHECK(verify("-verify_ip 10.1.2.3") == 0);
  CHECK(verify("-verify_ip fd00::1") == 0);
  CHECK(verify("-verify_hostname other.example.org") != 0);
  const std::string ca = ReadText(root + "/ca.crt"), actor = ReadText(root + "/actor.crt");
  REQUIRE(InitCertificates(root, {}).ok());
  CHECK(ReadText(root + "/ca.crt") == ca);
  CHECK(ReadText(root + "/actor.crt") != actor);
  const auto message = [&](const CertificateRequest& request) {
    return std::string(InitCertificates(root, request).status().message());
  };
  Has(message({.names = {"a,URI:spiffe://mentor/role/operator"}}), "neither a DNS name");
  Has(message({.names = {""}}), "names");
  Has(message({.names = {"actor=a"}}), "names: 'actor=a' is of no server");
  Has(message({.names = {"learner=a,URI:b"}}), "neither a DNS name");
  REQUIRE(InitCertificates(root, {.names = {"meta-learner=one", "learner=two", "both"}}).ok());
  CHECK(verify("-verify_hostname one") == 0);
  CHECK(verify("-verify_hostname two") != 0);
  CHECK(verify("-verify_hostname both") == 0);
  Has(message({.days = 0}), "days");
  Has(message({.days = 3650, .authority_days = 10}), "authority_days");
  std::filesystem::remove(root + "/ca.key");
  Has(message({}), "only one of");
}

TEST_CASE("certificates: a new pair is taken, a broken one changes nothing", "[unit]") {
  const TestCertificates files;
  const auto metrics = Metrics::Create();
  const auto reloader = TlsReloader::Make(files.files("actor"), metrics.get());
  REQUIRE(reloader.ok());
  uint64_t first = 0, second = 0;
  const std::string before = (*reloader)->texts(&first)->certificate;
  CHECK_FALSE((*reloader)->Reload());
  constexpr char kExpiry[] = "mentor_tls_certificate_expiry_timestamp_seconds";
  constexpr char kFailures[] = "mentor_tls_reload_failures_total";
  const double expiry = MetricValue(*metrics, kExpiry);
  CHECK(expiry > static_cast<double>(std::time(nullptr)) + 364.0 * 86'400);

  WriteText(files.key("actor"), ReadText(files.key("viewer")));
  CHECK_FALSE((*reloader)->Reload());
  CHECK(MetricValue(*metrics, kFailures) == 0);  // The certificate may follow.
  CHECK_FALSE((*reloader)->Reload());
  CHECK(MetricValue(*metrics, kFailures) == 1);
  CHECK_FALSE((*reloader)->Reload());
  CHECK(MetricValue(*metrics, kFailures) == 1);  // Said once.
  CHECK((*reloader)->texts(&second)->certificate == before);
  CHECK(first == second);
  std::filesystem::remove(files.crt("actor"));
  for (int i = 0; i < 3; ++i) CHECK_FALSE((*reloader)->Reload());
  CHECK(MetricValue(*metrics, kFailures) == 2);

  WriteText(files.crt("actor"), ReadText(files.crt("viewer")));
  CHECK((*reloader)->Reload());
  CHECK((*reloader)->texts(&second)->certificate == ReadText(files.crt("viewer")));
  CHECK(second == first + 1);
}

constexpr char kExits[] = "certificates child";

TEST_CASE(kExits, "[.child]") {
  OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS, nullptr);  // The first user does this.
  OPENSSL_atexit([] { _exit(1); });
  std::exit(3);
}

// A thread of gRPC in a handshake would crash there: mentorctl did, when a meta-learner refused its
// certificate.
TEST_CASE("certificates: a process that exits takes OpenSSL away from no thread", "[unit]") {
  CHECK(WEXITSTATUS(mentor::testing::RunChild(kExits, {})) == 3);
}

}  // namespace mentor::rpc::TEST_FILE
