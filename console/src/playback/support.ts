// Whether this browser can decode pictures one by one, and if not, why.

/** A sentence if it can't; nothing if it can. Small, so that it need not be loaded to say no. */
export function whyNoDecoder(): string | undefined {
  if (typeof VideoDecoder !== "undefined") return undefined;
  if (!window.isSecureContext) {
    return "Reverse and exact frames need WebCodecs, which browsers give only to pages over HTTPS or from this machine itself.";
  }
  return "Reverse and exact frames need WebCodecs, which this browser lacks.";
}

/** Why a codec can't be decoded here; nothing if it can. */
export async function whyNoCodec(config: VideoDecoderConfig): Promise<string | undefined> {
  try {
    const answer = await VideoDecoder.isConfigSupported(config);
    if (answer.supported) return undefined;
  } catch {
    // An odd codec string is as good as an unknown codec.
  }
  return `This browser can't decode ${config.codec}.`;
}
