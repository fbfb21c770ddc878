/** TLS options: 1.3, and 1.2 with forward secrecy and authenticated encryption only. */
export const TLS = {
  minVersion: 'TLSv1.2',
  ciphers: [
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'TLS_AES_128_GCM_SHA256',
    ...['ECDSA', 'RSA'].flatMap((kind) => [
      `ECDHE-${kind}-AES256-GCM-SHA384`,
      `ECDHE-${kind}-CHACHA20-POLY1305`,
      `ECDHE-${kind}-AES128-GCM-SHA256`
    ])
  ].join(':')
} as const
