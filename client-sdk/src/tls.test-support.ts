/** A certificate for localhost and 127.0.0.1, signed by itself, until 2126; known to everyone, and good for tests alone. */
export const testCertificate: string = `-----BEGIN CERTIFICATE-----
MIIBrjCCAVOgAwIBAgIUKYR9wT21q/aPIMK1zjTtcz+BW7AwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwSUXVvcnVtS1YgdGVzdCBvbmx5MCAXDTI2MTEyMTEwMjUwNFoY
DzIxMjYxMDI4MTAyNTA0WjAdMRswGQYDVQQDDBJRdW9ydW1LViB0ZXN0IG9ubHkw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ0EsInHJyceAaZ9XA85GQBtXdJeL3v
KW+qZeYEknBN1uOMGQu75gpoSt1JnLiIbkbrnljfxunSxs3nW+hb9vrZo28wbTAd
BgNVHQ4EFgQUwXtlSRdmCyvdrGgTzS6GPHOeZkgwHwYDVR0jBBgwFoAUwXtlSRdm
CyvdrGgTzS6GPHOeZkgwDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2Nh
bGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDSQAwRgIhAO49Wpr6k0aC9XgURWXpEhMM
vA9iWbMfZ5MZYSks5ZneAiEAwx2HcwnoEeefThR/sAzg3XMQIk/Dw5RlyBXaUKoW
dPw=
-----END CERTIFICATE-----
`

export const testKey: string = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgfcdfyvV4JmfBHi4d
Z5OuH3fUmEcxz63FO3U6sgBUUDOhRANCAAQ0EsInHJyceAaZ9XA85GQBtXdJeL3v
KW+qZeYEknBN1uOMGQu75gpoSt1JnLiIbkbrnljfxunSxs3nW+hb9vrZ
-----END PRIVATE KEY-----
`
