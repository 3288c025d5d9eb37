// @ts-check

/**
 * Replaces what stands between `<!-- result NAME -->` and `<!-- end -->`.
 *
 * @param {string} page
 * @param {(name: string) => string} resultOf
 */
export function fillTables(page, resultOf) {
  return page.replace(
    /(<!-- result (\S+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, begin, name, end) => `${begin}${resultOf(name).trimEnd()}\n${end}`,
  );
}
