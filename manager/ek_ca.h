/*
 * ek_ca.h - the host's own certification authority for the endorsement keys of its vTPMs.
 *
 * Certificates follow the TCG's EK credential profile: X.509v3, subject in a critical
 * subjectAltName (tpmManufacturer, tpmModel, tpmVersion), extended key usage tcg-kp-EKCertificate,
 * without an end. The key is given as rsaEncryption: the id-RSAES-OAEP of the profile for TPM 1.2
 * is what OpenSSL, and with it every tool that a guest's owner is likely to have, cannot read.
 */
#ifndef MANAGER_EK_CA_H
#define MANAGER_EK_CA_H

#include <stddef.h>
#include <stdint.h>

struct ek_ca;

enum { EK_CA_CERTIFICATE_MAX = 2048 };

/*
 * ek_ca_open: with a CA's certificate and its private key, without a password (PEM). NULL when they
 * cannot be read or do not belong together, or no CA's, which is logged.
 */
struct ek_ca *ek_ca_open(const char *certificate_file, const char *key_file);
void ek_ca_close(struct ek_ca *ca); /* NULL does nothing */

/*
 * ek_ca_certify: a certificate for an endorsement key, given as TPM_PUBKEY. der has room for
 * EK_CA_CERTIFICATE_MAX bytes. Returns its length, or a negative errno, logged. One thread at a
 * time.
 */
int ek_ca_certify(struct ek_ca *ca, const uint8_t *pubkey, size_t len, uint8_t *der);

#endif
