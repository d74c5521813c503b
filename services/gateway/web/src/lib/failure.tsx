/** What went wrong, in the words of whoever refused it; nothing where nothing did. Read out at once by a screen reader. */
export function Failure({ text }: { text: string }) {
  return text ? (
    <p className="failure" role="alert">
      {text}
    </p>
  ) : null;
}
