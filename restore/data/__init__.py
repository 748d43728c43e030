"""Images and pairs.

`card` says what a benchmark is, `pairs` finds its pairs in a folder, `loading` cuts training regions from them,
`doctor` checks the folder, `manifest` names its contents and `preview` shows it.
"""
