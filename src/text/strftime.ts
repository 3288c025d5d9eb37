/** English whatever the machine's language is: templates put the date into an English prompt. */
const LOCALE = "en-US";

/** The date formats that chat templates use, in local time. A format letter outside this list is left as it stands. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([aAbBdeHIjmMpSyY%])/g, (_, letter: string) => FORMATS[letter]!(date));
}

const FORMATS: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => date.toLocaleDateString(LOCALE, { weekday: "short" }),
  A: (date) => date.toLocaleDateString(LOCALE, { weekday: "long" }),
  b: (date) => date.toLocaleDateString(LOCALE, { month: "short" }),
  B: (date) => date.toLocaleDateString(LOCALE, { month: "long" }),
  d: (date) => padded(date.getDate(), 2),
  e: (date) => String(date.getDate()).padStart(2, " "),
  H: (date) => padded(date.getHours(), 2),
  I: (date) => padded(date.getHours() % 12 || 12, 2),
  j: (date) => padded(dayOfYear(date), 3),
  m: (date) => padded(date.getMonth() + 1, 2),
  M: (date) => padded(date.getMinutes(), 2),
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  S: (date) => padded(date.getSeconds(), 2),
  y: (date) => padded(date.getFullYear() % 100, 2),
  Y: (date) => String(date.getFullYear()),
  "%": () => "%",
};

function padded(value: number, width: number): string {
  return String(value).padStart(width, "0");
}

function dayOfYear(date: Date): number {
  const start = Date.UTC(date.getFullYear(), 0, 1);
  return (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - start) / 86_400_000 + 1;
}
