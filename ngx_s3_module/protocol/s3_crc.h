/*
 * The three CRCs of S3.
 *
 *                 polynomial           reflected            "123456789"
 *     CRC32       0x04c11db7           0xedb88320           0xcbf43926
 *     CRC32C      0x1edc6f41           0x82f63b78           0xe3069283
 *     CRC64NVME   0xad93d23594c93659   0x9a6c9329ac4bc9b5   0xae8b14860a799888
 *
 * All are reflected, begin with and are inverted by all ones.  Sources: the
 * CRC catalogue (reveng), NVM Command Set specification section 5.2.1.3.4;
 * V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using
 * PCLMULQDQ Instruction".
 */

#ifndef S3_CRC_H
#define S3_CRC_H

#include "storage/s3_core.h"

#pragma GCC visibility push(hidden)

/* Begin with 0, continue with what the last call returned. */

uint32_t s3_crc32(uint32_t crc, s3_str_t data);
uint32_t s3_crc32c(uint32_t crc, s3_str_t data);
uint64_t s3_crc64nvme(uint64_t crc, s3_str_t data);

/* The same without the processor's help: what the others are tested by. */

uint64_t s3_crc64nvme_base(uint64_t crc, s3_str_t data);

/* The CRC of a followed by b, from both CRCs and the length of b. */

uint32_t s3_crc32_combine(uint32_t a, uint32_t b, uint64_t b_len);
uint32_t s3_crc32c_combine(uint32_t a, uint32_t b, uint64_t b_len);
uint64_t s3_crc64nvme_combine(uint64_t a, uint64_t b, uint64_t b_len);

#pragma GCC visibility pop

#endif /* S3_CRC_H */
