import { describe, expect, it } from "vitest";
import { checkKey, keyDigest } from "../../src/gateway/auth.js";

const accepted = await Promise.all(["first-key-0123456789", "second-key-0123456789"].map(keyDigest));

function check(authorization?: string): Promise<void> {
  return checkKey(new Headers(authorization === undefined ? {} : { authorization }), accepted);
}

describe("checkKey", () => {
  it.each(["Bearer first-key-0123456789", "bearer second-key-0123456789", "Bearer   first-key-0123456789 "])(
    "accepts %j",
    async (authorization) => {
      await expect(check(authorization)).resolves.toBeUndefined();
    },
  );

  it.each([
    undefined,
    "",
    "Bearer",
    "Bearer ",
    "first-key-0123456789",
    "Basic first-key-0123456789",
    "Bearer first-key-012345678",
    "Bearer first-key-01234567890",
    "Bearer First-key-0123456789",
    "Bearer first-key-0123456789 second-key-0123456789",
  ])("refuses %j", async (authorization) => {
    await expect(check(authorization)).rejects.toMatchObject({
      status: 401,
      code: "invalid_api_key",
      headers: { "www-authenticate": 'Bearer realm="wavekv"' },
    });
  });

  it("refuses every key where none is accepted", async () => {
    await expect(checkKey(new Headers({ authorization: "Bearer x" }), [])).rejects.toMatchObject({ status: 401 });
  });
});
