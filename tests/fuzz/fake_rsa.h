/*
 * fake_rsa.h - what the linker puts in place of tpmcore/crypto.h's functions in fuzz targets.
 */
#ifndef TESTS_FUZZ_FAKE_RSA_H
#define TESTS_FUZZ_FAKE_RSA_H

#include "tpmcore/crypto.h"

__typeof__(crypto_equal) __wrap_crypto_equal;
__typeof__(crypto_rsa_generate) __wrap_crypto_rsa_generate;
__typeof__(crypto_rsa_check) __wrap_crypto_rsa_check;
__typeof__(crypto_rsa_raw) __wrap_crypto_rsa_raw;
__typeof__(crypto_rsa_encrypt_oaep) __wrap_crypto_rsa_encrypt_oaep;
__typeof__(crypto_rsa_decrypt_oaep) __wrap_crypto_rsa_decrypt_oaep;
__typeof__(crypto_rsa_encrypt_pkcs1) __wrap_crypto_rsa_encrypt_pkcs1;
__typeof__(crypto_rsa_decrypt_pkcs1) __wrap_crypto_rsa_decrypt_pkcs1;
__typeof__(crypto_rsa_sign_der) __wrap_crypto_rsa_sign_der;
__typeof__(crypto_rsa_sign_sha1) __wrap_crypto_rsa_sign_sha1;
__typeof__(crypto_rsa_verify_sha1) __wrap_crypto_rsa_verify_sha1;

#endif
